import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Found } from './mutants.js'

/** Tells which mutants the compiler takes: nobody has to write a test against one that it refuses. */
export class Compiler {
  readonly #folder: string

  private constructor(folder: string) {
    this.#folder = folder
  }

  static async start(): Promise<Compiler> {
    const folder = await mkdtemp(join(tmpdir(), 'castellan-mutation-types-'))
    await mkdir(join(folder, 'src'))
    for (const path of ['src', 'package.json', 'tsconfig.json']) await cp(path, join(folder, path), { recursive: true })
    await symlink(join(process.cwd(), 'node_modules'), join(folder, 'node_modules'))
    const compiler = new Compiler(folder)
    if (!(await compiler.#compiles())) throw new Error('the sources do not compile')
    return compiler
  }

  async takes(mutant: Found): Promise<boolean> {
    const path = join(this.#folder, mutant.file)
    const before = await readFile(path, 'utf8')
    await writeFile(path, mutant.content())
    const taken = await this.#compiles()
    await writeFile(path, before)
    return taken
  }

  async close(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true })
  }

  #compiles(): Promise<boolean> {
    const project = { extends: './tsconfig.json', compilerOptions: { types: ['node'] }, include: ['src/**/*.ts'] }
    const flags = ['-p', 'tsconfig.src.json', '--noEmit', '--incremental', '--tsBuildInfoFile', 'src.tsbuildinfo']
    return writeFile(join(this.#folder, 'tsconfig.src.json'), JSON.stringify(project))
      .then(() => promisify(execFile)(join('node_modules', '.bin', 'tsc'), flags, { cwd: this.#folder }))
      .then(
        () => true,
        () => false
      )
  }
}
