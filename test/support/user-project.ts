import { cp, mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type Exit, ROOT, run, TSX } from "./processes.ts";

export interface ProjectOptions {
  /** Name of the project's directory. */
  readonly directory?: string;
  /** `type` of its package.json; "none": the field is missing. */
  readonly type?: "module" | "commonjs" | "none";
}

/** A project of a user, outside the workspace, with millrace in its node_modules. */
export class UserProject implements AsyncDisposable {
  readonly #parent: string;
  readonly root: string;

  static async make(
    files: Readonly<Record<string, string>>,
    { directory = "project", type = "module" }: ProjectOptions = {},
  ): Promise<UserProject> {
    const parent = await realpath(await mkdtemp(join(tmpdir(), "millrace-user-")));
    const project = new UserProject(parent, join(parent, directory));
    const manifest = { name: "user-project", private: true, ...(type !== "none" && { type }) };
    await project.write("package.json", JSON.stringify(manifest));
    await mkdir(join(project.root, "node_modules"));
    await symlink(join(ROOT, "packages/millrace"), join(project.root, "node_modules/millrace"));
    for (const [name, text] of Object.entries(files)) await project.write(name, text);
    return project;
  }

  private constructor(parent: string, root: string) {
    this.#parent = parent;
    this.root = root;
  }

  async write(name: string, text: string): Promise<void> {
    const file = join(this.root, name);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
  }

  /** Gives the project a copy of `@millrace/core` of its own. */
  async copyCore(): Promise<void> {
    const [from, modules] = [join(ROOT, "packages/core"), join(this.root, "node_modules")];
    const to = join(modules, "@millrace/core");
    for (const part of ["package.json", "dist"])
      await cp(join(from, part), join(to, part), { recursive: true });
    const { dependencies } = JSON.parse(await readFile(join(from, "package.json"), "utf8")) as {
      dependencies: Record<string, string>;
    };
    for (const name of Object.keys(dependencies)) {
      await mkdir(dirname(join(modules, name)), { recursive: true });
      await symlink(join(ROOT, "node_modules", name), join(modules, name));
    }
  }

  /** A path beside the project, such as for a symlink to it. */
  beside(name: string): string {
    return join(this.#parent, name);
  }

  /** Runs a file of the project as a user does: TypeScript through tsx, JavaScript through Node. */
  run(
    file: string,
    { cwd = this.root, env = {} }: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
  ): Promise<Exit> {
    return /\.[cm]?ts$/.test(file)
      ? run(TSX, [file], { cwd, env })
      : run(process.execPath, [file], { cwd, env });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return rm(this.#parent, { recursive: true, force: true });
  }
}
