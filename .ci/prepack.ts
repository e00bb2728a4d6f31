/**
 * Builds what `npm pack` packs, from nothing. Declarations that no entry of the package names stay out: nobody can import
 * them, and they are two thirds of all. The JavaScript has no comments: those for users stand in the declarations.
 */
import { execFileSync } from 'node:child_process'
import { chmodSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { argv } from 'node:process'
import { fileURLToPath } from 'node:url'

interface Manifest {
  readonly exports: Readonly<Record<string, { readonly types?: string }>>
}

/** @param folder of the package, with its dist */
export function removeUnusedDeclarations(folder: string): void {
  const { exports } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest
  const used = new Set(Object.values(exports).flatMap(({ types }) => (types === undefined ? [] : [join(folder, types)])))
  for (const file of used) {
    const named = readFileSync(file, 'utf8').matchAll(/(?:from|import\()\s*['"](\.[^'"]+)\.js['"]/g)
    for (const [, name] of named) used.add(join(dirname(file), `${name}.d.ts`))
  }
  const all = readdirSync(join(folder, 'dist'), { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.d.ts'))
  for (const name of all) if (!used.has(join(folder, 'dist', name))) rmSync(join(folder, 'dist', name))
}

/** Builds the JavaScript again, without comments, into the dist of the folder. */
export function removeComments(folder: string): void {
  const outDir = join(folder, 'dist')
  const options = ['--removeComments', '--declaration', 'false', '--sourceMap', 'false', '--inlineSources', 'false']
  execFileSync('npx', ['tsc', '-p', 'tsconfig.build.json', ...options, '--outDir', outDir], { stdio: 'inherit' })
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  rmSync('dist', { recursive: true, force: true })
  execFileSync('npm', ['run', 'build'], { stdio: 'inherit' })
  removeUnusedDeclarations('.')
  removeComments('.')
  chmodSync('dist/main.js', 0o755)
}
