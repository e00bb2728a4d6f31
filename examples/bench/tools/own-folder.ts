import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * The working folder of measured gateways. The one in which the benchmark runs may have the durable log of another
 * gateway, which a gateway would open.
 */
export const OWN_FOLDER = mkdtempSync(join(tmpdir(), 'castellan-bench-'))
process.on('exit', () => rmSync(OWN_FOLDER, { recursive: true, force: true }))
