/** Builds what `npm pack` packs, from nothing. */
import { execFileSync } from 'node:child_process'
import { cpSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { argv } from 'node:process'
import { fileURLToPath } from 'node:url'

interface Manifest {
  readonly exports: Readonly<Record<string, string | { readonly types?: string }>>
}

const EMITTED = '.cache/declarations'

/** Writes the declarations of all sources, for any number of calls of {@link addDeclarations}. */
export function emitDeclarations(): void {
  rmSync(EMITTED, { recursive: true, force: true })
  execFileSync('npx', ['tsc', '-p', 'tsconfig.build.json', '--outDir', EMITTED], { stdio: 'inherit' })
}

/**
 * Adds the declarations that an entry of the package names, directly or not. Nobody can import the others, and they are
 * two thirds of all.
 *
 * @param folder of the package, with the JavaScript in its dist
 */
export function addDeclarations(folder: string): void {
  const dist = join(folder, 'dist')
  for (const former of filesIn(dist)) if (former.endsWith('.d.ts')) rmSync(join(dist, former))
  const { exports } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest
  const entries = Object.values(exports).flatMap(one => (typeof one === 'string' ? [] : (one.types ?? [])))
  const used = new Set(entries.map(types => types.replace('./dist/', '')))
  for (const file of used) {
    const text = readFileSync(join(EMITTED, file), 'utf8')
    for (const [, name] of text.matchAll(/(?:from|import\()\s*['"](\.[^'"]+)\.js['"]/g))
      used.add(join(dirname(file), `${name}.d.ts`))
    cpSync(join(EMITTED, file), join(dist, file))
  }
}

export const filesIn = (folder: string): readonly string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })

if (argv[1] === fileURLToPath(import.meta.url)) {
  execFileSync('npm', ['run', 'build'], { stdio: 'inherit' })
  emitDeclarations()
  addDeclarations('.')
}
