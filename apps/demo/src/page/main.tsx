import { render } from "preact";
import { App } from "./app.tsx";
import { startWorking } from "./jobs/start.ts";
import "./styles/index.css";

render(<App />, document.getElementById("app") as HTMLElement);
void startWorking();
