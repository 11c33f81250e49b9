// Everything that is too long for the check: all tests at their full size, in all engines, then the soak. The last line
// is that of the check.
process.env.QUAYSIDE_ALL = "1";
await import("./check.mjs");
