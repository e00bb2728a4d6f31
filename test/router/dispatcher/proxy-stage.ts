import type { ActorSystem } from '../../../src/core/actor/actor.js'
import type { BrokerClient } from '../../../src/kafka/broker-client.js'
import { BrokerProxy } from '../../../src/router/dispatcher/broker-proxy.js'
import type { ProcessorStage } from '../processors/stage.js'

/** What a test decides of the connections to a broker, and what it is told. */
export interface ScriptedConnections {
  createClient(address: unknown, purpose: string, expectedClusterId: () => string | undefined): BrokerClient
  readonly expectedClusterId?: string
  /** `detail`: of what was returned or has failed. */
  reported(kind: 'returned' | 'unreachable' | 'crashed', detail: unknown): void
  answered?(from: BrokerProxy): void
}

/** The connections to one broker, beside a Router that the test plays. */
export function openProxy(system: ActorSystem, stage: ProcessorStage, script: ScriptedConnections): BrokerProxy {
  const report = (kind: 'returned' | 'unreachable' | 'crashed') => (_: unknown, detail: unknown) =>
    script.reported(kind, detail)
  return new BrokerProxy({ nodeId: 1, host: 'mock-1', port: 8000, rack: null }, {
    system,
    openRequests: stage.openRequests,
    metrics: stage.metrics,
    readCache: { isolationLevel: 'readUncommitted' },
    callTimeoutMs: 1_000,
    fetch: {},
    group: { maxGroupConnections: 2, slowGroupCallMs: 60_000 },
    produce: {},
    admitCreations: () => [],
    waitsForCreation: () => false,
    maxWaiting: 10,
    createClient: script.createClient,
    expectedClusterId: () => script.expectedClusterId,
    reports: {
      returned: report('returned'),
      unreachable: report('unreachable'),
      crashed: report('crashed'),
      answered: (from: BrokerProxy) => script.answered?.(from),
      metadata: () => {}
    }
  } as never)
}
