import { rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const folder = join(tmpdir(), `castellan-test-${process.pid}`)
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

let given = 0

/**
 * A directory for the durable log of a gateway that a test starts, another one at each call. The default would be shared by
 * all of them, and a gateway opens a log at its start that has receipts or keys, also when no record waits in it. Made with
 * the first record that is kept on disk.
 */
export const walDirectoryOf = (whose: 'apps' | 'children' | 'gateways' | 'waits'): string =>
  join(folder, `${whose}-${++given}`)
