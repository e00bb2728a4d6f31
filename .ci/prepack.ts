/**
 * Builds what `npm pack` packs, from nothing. Declarations that no entry of the package names stay out: nobody can import
 * them, and they are two thirds of all.
 */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { argv } from 'node:process'
import { fileURLToPath } from 'node:url'

interface Manifest {
  readonly exports: Readonly<Record<string, { readonly types?: string }>>
}

/** @param folder of the package, with the JavaScript in its dist */
export function addDeclarations(folder: string): void {
  const dist = join(folder, 'dist')
  execFileSync('npx', ['tsc', '-p', 'tsconfig.build.json', '--outDir', resolve(dist)], { stdio: 'inherit' })
  const { exports } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest
  const used = new Set(Object.values(exports).flatMap(({ types }) => (types === undefined ? [] : [join(folder, types)])))
  for (const file of used) {
    const named = readFileSync(file, 'utf8').matchAll(/(?:from|import\()\s*['"](\.[^'"]+)\.js['"]/g)
    for (const [, name] of named) used.add(join(dirname(file), `${name}.d.ts`))
  }
  const all = readdirSync(dist, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.d.ts'))
  for (const name of all) if (!used.has(join(dist, name))) rmSync(join(dist, name))
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  execFileSync('npm', ['run', 'build'], { stdio: 'inherit' })
  addDeclarations('.')
}
