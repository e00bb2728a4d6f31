import { type Children, Gateway } from '../../cli/child.js'

/** What clients hold of the process; at rest all of it is 0. */
const HELD = [
  'castellan_http_bodies_in_flight_bytes',
  'castellan_http_requests_in_flight',
  'castellan_http_connections',
  'kafka_pixy_grpc_connections',
  'kafka_pixy_arriving_calls',
  'kafka_pixy_open_calls',
  'castellan_delivery_buffered_records',
  'castellan_delivery_buffered_bytes'
] as const

/** A gateway with the embedded broker as its cluster and a hostile one beside it, looked at through its metrics. */
export class GatewayUnderAttack {
  readonly gateway: Gateway
  readonly broker: { readonly host: string; readonly port: number }
  peakRssBytes = 0

  readonly grpcPort: number

  private constructor(gateway: Gateway, broker: { host: string; port: number }, grpcPort: number) {
    this.gateway = gateway
    this.broker = broker
    this.grpcPort = grpcPort
  }

  /** @param heapMb 0: that of Node */
  static async start(children: Children, evilBroker: string, heapMb: number): Promise<GatewayUnderAttack> {
    const args = [
      '--embedded-port',
      '0',
      '--set',
      'apis.kafka-pixy.grpcPort=0',
      '--set',
      `clusters.evil.brokers=${evilBroker}`
    ]
    const gateway = await Gateway.start(children, args, {
      ...(heapMb > 0 && { NODE_OPTIONS: `--max-old-space-size=${heapMb}` })
    })
    const [, host, port] = await gateway.child.line(/embedded broker on ([0-9.]+):(\d+)/)
    const [, grpcPort] = await gateway.child.line(/"port":(\d+),"msg":"Kafka-Pixy's gRPC service listens"/)
    return new GatewayUnderAttack(gateway, { host: host!, port: Number(port) }, Number(grpcPort))
  }

  /** Looks at the memory of the process. */
  async look(): Promise<void> {
    const metrics = await this.#metrics()
    this.peakRssBytes = Math.max(this.peakRssBytes, sumOf(metrics, 'process_resident_memory_bytes'))
  }

  /** What is still held after so long without clients: metrics that are not 0, with their values. */
  async stillHeld(patienceMs: number): Promise<string[]> {
    const giveUpAt = performance.now() + patienceMs
    for (;;) {
      const metrics = await this.#metrics()
      const held = HELD.map(name => [name, sumOf(metrics, name) - ownShare(name)] as const).filter(
        ([, value]) => value !== 0
      )
      if (held.length === 0 || performance.now() > giveUpAt) return held.map(([name, value]) => `${name} ${value}`)
      await new Promise(resolve => setTimeout(resolve, 200))
    }
  }

  async #metrics(): Promise<string> {
    const response = await fetch(`${this.gateway.management}/metrics`, { headers: { connection: 'close' } })
    return response.text()
  }
}

/** Asking takes a connection and a request. */
const ownShare = (name: string): number => (/http_(connections|requests)/.test(name) ? 1 : 0)

/** All series of a metric together. */
function sumOf(metrics: string, name: string): number {
  const values = [...metrics.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (.+)$`, 'gm'))]
  return values.reduce((sum, [, value]) => sum + Number(value), 0)
}
