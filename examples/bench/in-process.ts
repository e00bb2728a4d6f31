import { pathToFileURL } from 'node:url'
import type { Delivery } from '../../src/delivery/delivery.js'
import type { BrokerAddress } from '../../src/model.js'
import type { RouterHandle } from '../../src/router/router.js'
import type { RouterSettingsOverrides } from '../../src/router/settings.js'
import type { BrokerClientFactory } from '../../src/wire/broker-client.js'

/**
 * What is measured: the compiler's output, since a TypeScript loader adds calls of its own around every named function.
 * BENCH_DIST names another build, for comparing two of them.
 */
export const DIST = pathToFileURL(`${process.env.BENCH_DIST ?? new URL('../../dist', import.meta.url).pathname}/`)

const room = <Module>(path: string): Promise<Module> => import(new URL(path, DIST).href)

export interface InProcess {
  readonly router: RouterHandle
  readonly delivery: Delivery
  readonly connect: BrokerClientFactory
  readonly askRouter: typeof import('../../src/router/ask-router.js').askRouter
  readonly addresses: readonly BrokerAddress[]
}

/** A Router with delivery, put together as the app does it, in this process. */
export async function startInProcess(bootstrap: string, settings: RouterSettingsOverrides = {}): Promise<InProcess> {
  const { ActorSystem } = await room<typeof import('../../src/actor/actor.js')>('actor/actor.js')
  const { startRouter } = await room<typeof import('../../src/router/router.js')>('router/router.js')
  const { askRouter } = await room<typeof import('../../src/router/ask-router.js')>('router/ask-router.js')
  const { startDelivery } = await room<typeof import('../../src/delivery/delivery.js')>('delivery/delivery.js')
  const { silentLogger: log } = await room<typeof import('../../src/model.js')>('model.js')
  const { defaultLogger: metrics } =
    await room<typeof import('../../src/metrics/metrics-logger.js')>('metrics/metrics-logger.js')
  const { createBrokerClientFactory } = await room<typeof import('../../src/wire/create-broker-client-factory.js')>(
    'wire/create-broker-client-factory.js'
  )
  const addresses = bootstrap.split(',').map(address => {
    const [host, port] = address.split(':')
    return { host: host!, port: Number(port) }
  })
  const connect = createBrokerClientFactory({
    clientId: 'bench',
    connectTimeoutMs: 5_000,
    requestTimeoutMs: 30_000,
    log
  })
  const common = { clock: () => performance.now(), random: Math.random, log, metrics }
  let delivery: Delivery | undefined
  const router = startRouter({
    ...common,
    system: new ActorSystem(),
    createClient: connect,
    bootstrap: addresses,
    settings,
    delivery: { produce: request => delivery!.produce(request) },
    onFatal: error => {
      throw error
    }
  })
  delivery = startDelivery({ ...common, router: router.ref, now: Date.now })
  return { router, delivery, connect, askRouter, addresses }
}
