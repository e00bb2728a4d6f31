import { execFile } from 'node:child_process'
import { readFile, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { File } from '@stryker-mutator/instrumenter'
import { copyProject } from '../support/project-copy.js'

const COPIED = ['src', 'test', 'examples', 'docs', 'README.md', 'package.json', 'tsconfig.json']

/** Files of `dist` that have another name than their source. */
const BUILT = { 'worker.js': './cli/worker.js', 'log-worker.js': './producer/log/log-worker.js' }

/** A copy of the project with these files in it, compiled to JavaScript beside the sources; `dist` is `src`. */
export async function createSandbox(files: readonly File[]): Promise<string> {
  const folder = await copyProject('mutation', COPIED)
  await symlink('src', join(folder, 'dist'))
  for (const [name, source] of Object.entries(BUILT)) await writeFile(join(folder, 'src', name), `import '${source}'\n`)
  for (const { name, content } of files) await writeFile(join(folder, name), content)
  await compile(folder)
  // Tests run what is built only where it is newer than the sources.
  const later = new Date(Date.now() + 3_600_000)
  await utimes(join(folder, 'src/main.js'), later, later)
  return folder
}

async function compile(folder: string): Promise<void> {
  const { compilerOptions } = JSON.parse(await readFile('tsconfig.json', 'utf8'))
  const options = {
    ...compilerOptions,
    noEmit: false,
    noCheck: true,
    declaration: false,
    sourceMap: false,
    rootDir: '.'
  }
  const project = { compilerOptions: options, include: ['src/**/*.ts', 'test/**/*.ts', 'examples/**/*.ts'] }
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(project))
  await promisify(execFile)(join('node_modules', '.bin', 'tsc'), ['-p', 'tsconfig.json'], { cwd: folder })
}
