import { silentLogger } from '../../src/core/model.js'
import { prepareCompression } from '../../src/kafka/compression.js'
import { startApp } from '../../src/server/app/app.js'
import { loadConfig } from '../../src/server/config/config.js'

const settings = { 'clusters.default.brokers': '127.0.0.1:1', 'http.port': '0', 'management.port': '0' }

/**
 * Starts a gateway in the real world, once per process: what is loaded when it is first needed comes from the disk, by
 * way of other threads, and would take no simulated time at all.
 */
export async function warmUp(): Promise<void> {
  await prepareCompression()
  const flags = Object.entries(settings).map(([path, value]) => ({ flag: path, path: path.split('.'), value }))
  const app = await startApp(loadConfig({ flags }), { log: silentLogger, version: 'warm' })
  await app.stop({ isBroken: true })
}
