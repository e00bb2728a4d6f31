import { rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const folder = join(tmpdir(), `castellan-test-${process.pid}`)
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

/**
 * A directory for the durable log of gateways that a test starts, instead of the default, which all of them would share:
 * files of tests run at the same time. Made with the first record that is kept on disk.
 */
export const walDirectoryOf = (whose: 'apps' | 'children' | 'waits'): string => join(folder, whose)
