/**
 * What `require("millrace")` gives: the one ES module of this package, on every Node that Millrace supports.
 *
 * Node's own require could do it, but tsx replaces that by one that transpiles ES modules to CommonJS. A TypeScript
 * project without `"type": "module"` would then get a second copy of Millrace, with a registry of tasks that no worker
 * looks into. So the module is handed to Node's loader past tsx.
 */
const { readFileSync, realpathSync } = require("node:fs");
const { Module } = require("node:module");

const file = realpathSync(require.resolve("./dist/index.js"));
const millrace = new Module(file, module);
millrace.filename = file;
millrace._compile(readFileSync(file, "utf8"), file, "module");
module.exports = millrace.exports;
