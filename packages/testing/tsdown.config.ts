import { packageBuild } from "../../scripts/package-build.mjs";
import manifest from "./package.json" with { type: "json" };

export default packageBuild(manifest);
