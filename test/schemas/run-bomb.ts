import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { LOADER, PROJECT } from '../support/built.js'

/** Does what a bomb of `schemas/bombs.ts` says, in a process with a heap of 256 MB. */
export async function runBomb(bomb: string): Promise<{ readonly answer: unknown; readonly maxMb: number }> {
  const script = join(PROJECT, 'test/schemas/bombs.ts')
  const options = ['--max-old-space-size=256', '--expose-gc', '--no-experimental-require-module', ...LOADER]
  const { stdout } = await promisify(execFile)(process.execPath, [...options, script, bomb])
  return JSON.parse(stdout) as never
}
