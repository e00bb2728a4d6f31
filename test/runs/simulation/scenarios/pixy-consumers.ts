import type { HttpGateway } from '../http-gateway.js'
import type { Setting } from '../scenario.js'
import type { GroupProgress } from '../workloads/group-progress.js'
import { PixyConsumer, type PixyConsumerDeps, type PixyConsumerOptions } from '../workloads/pixy-consumer.js'

interface Consuming extends Omit<PixyConsumerOptions, 'name' | 'port'>, Pick<PixyConsumerDeps, 'mayHangUp'> {
  /** Clients of each gateway. */
  readonly runtime: number
}

/** Those who consume over a gateway by Kafka-Pixy's API. */
export function pixyConsumersOf(
  { world, answers, random }: Setting,
  gateway: HttpGateway,
  progress: GroupProgress,
  { runtime, mayHangUp, ...usual }: Consuming
): PixyConsumer[] {
  return Array.from({ length: runtime }, (_, hand) => {
    const name = `${gateway.name}-${hand}`
    const host = world.host(`client-${name}`)
    return new PixyConsumer(
      { ...usual, name, port: gateway.port },
      {
        host,
        gateway,
        answers,
        progress,
        random: random(name),
        trace: world.trace,
        now: () => world.time.now,
        mayHangUp,
        onHost: action => world.on(host, action)
      }
    )
  })
}
