import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { copyProject, removeCopy } from '../support/project-copy.js'
import type { Found } from './mutants.js'

/** Tells which mutants the compiler takes: nobody has to write a test against one that it refuses. */
export class Compiler {
  readonly #folder: string

  private constructor(folder: string) {
    this.#folder = folder
  }

  static async start(): Promise<Compiler> {
    const compiler = new Compiler(await copyProject('mutation-types', ['src', 'package.json', 'tsconfig.json']))
    const wrong = await compiler.#filesWithErrors()
    if (wrong.size > 0) throw new Error(`the sources do not compile: ${[...wrong].join(', ')}`)
    return compiler
  }

  /** Those of these that compile, in their order. */
  async takes(mutants: readonly Found[]): Promise<Found[]> {
    const taken = new Set<Found>()
    let rest = [...mutants]
    while (rest.length > 0) {
      const batch = rest.filter(({ file }, at) => rest.findIndex(other => other.file === file) === at)
      for (const mutant of await this.#takenOf(batch)) taken.add(mutant)
      rest = rest.filter(mutant => !batch.includes(mutant))
    }
    return mutants.filter(mutant => taken.has(mutant))
  }

  async close(): Promise<void> {
    await removeCopy(this.#folder)
  }

  /** Tries mutants of different files together: an error in one of these files is that of its mutant. */
  async #takenOf(mutants: readonly Found[]): Promise<readonly Found[]> {
    const before = new Map<string, string>()
    for (const { file, content } of mutants) {
      before.set(file, await readFile(join(this.#folder, file), 'utf8'))
      await writeFile(join(this.#folder, file), content())
    }
    const wrong = await this.#filesWithErrors()
    for (const [file, content] of before) await writeFile(join(this.#folder, file), content)
    if ([...wrong].every(file => before.has(file))) return mutants.filter(({ file }) => !wrong.has(file))
    if (mutants.length === 1) return []
    // One of them makes another file wrong. Halves find it in fewer runs than one by one.
    const middle = mutants.length >> 1
    return [...(await this.#takenOf(mutants.slice(0, middle))), ...(await this.#takenOf(mutants.slice(middle)))]
  }

  async #filesWithErrors(): Promise<Set<string>> {
    const project = { extends: './tsconfig.json', compilerOptions: { types: ['node'] }, include: ['src/**/*.ts'] }
    const flags = ['--noEmit', '--pretty', 'false', '--incremental', '--tsBuildInfoFile', 'src.tsbuildinfo']
    await writeFile(join(this.#folder, 'tsconfig.src.json'), JSON.stringify(project))
    const tsc = join('node_modules', '.bin', 'tsc')
    return promisify(execFile)(tsc, ['-p', 'tsconfig.src.json', ...flags], { cwd: this.#folder }).then(
      () => new Set<string>(),
      ({ stdout }: { stdout: string }) =>
        new Set(Array.from(stdout.matchAll(/^([^\s(][^(\n]*)\(\d+,\d+\): error/gm), ([, file]) => file!))
    )
  }
}
