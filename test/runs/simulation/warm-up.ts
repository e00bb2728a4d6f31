import { silentLogger } from '../../../src/core/model.js'
import { prepareCompression } from '../../../src/kafka/compression.js'
import { startApp } from '../../../src/server/app/app.js'
import { loadConfig } from '../../../src/server/config/config.js'
import { LOG_DIRECTORY } from './http-gateway.js'
import { World } from './world/world.js'

const settings = {
  'clusters.default.brokers': '127.0.0.1:1',
  'http.port': '0',
  'management.port': '0',
  'wal.directory': LOG_DIRECTORY
}

/**
 * Starts a gateway in a world of its own, once per process: what is loaded when it is first needed comes from the disk, by
 * way of other threads, and would take no simulated time at all.
 */
export const warmUp = (): Promise<void> => (warmed ??= warm())
let warmed: Promise<void> | undefined

async function warm(): Promise<void> {
  await prepareCompression()
  await import('../../../src/producer/transactions/transactions.js')
  await import('../../../src/deployment/gateways/gateway-peers.js')
  await import('../../../src/deployment/gateways/gateway-keys.js')
  await import('../../../src/deployment/lending/clusters-lending.js')
  const flags = Object.entries(settings).map(([path, value]) => ({ flag: path, path: path.split('.'), value }))
  const world = new World({ seed: 1 })
  const stopTime = world.flow()
  try {
    const app = await startApp(loadConfig({ flags }), { log: silentLogger, version: 'warm' })
    await app.stop({ isBroken: true })
  } finally {
    stopTime()
    world.close()
  }
}
