import { type Client, credentials, type ServiceError, status } from '@grpc/grpc-js'
import { loadDefinition } from '../../../../src/apis/kafka-pixy/grpc/protocol.js'
import type { ConsumerSettingsOverrides } from '../../../../src/consumer/group/settings.js'
import { PixyClient } from '../../../apis/kafka-pixy/stage.js'
import { GroupInstance } from '../../../support/group-instance.js'
import { GatewayProcess } from '../../real-kafka/gateway-process.js'
import { freePorts } from '../../real-kafka/ports.js'
import { kill, type Workspace } from '../../real-kafka/workspace.js'

/** What a request for a message was answered. */
export type Asked =
  | { readonly type: 'message'; readonly id: string; readonly place: string; readonly ack: () => unknown }
  | { readonly type: 'nothing' }
  | { readonly type: 'failed'; readonly why: string }

/** A process that consumes on behalf of groups. */
export interface Member {
  readonly name: string
  /** By group. */
  readonly asks: ReadonlyMap<string, (topic: string) => Promise<Asked>>
  /** Ends it in order. */
  leave(): Promise<unknown>
  /** Ends it so that its groups wait for it until its sessions are over. */
  kill(): Promise<unknown>
}

const placeOf = ({ partition, offset }: { readonly partition: number; readonly offset: number }): string =>
  `${partition}@${offset}`

/**
 * Times of members, so short that a run sees many rebalances. Six seconds are Kafka's shortest session. The embedded broker never
 * answers a request to join that it got while it was paused, and a member asks again after twice the rebalance time-out.
 */
const QUICK = {
  sessionTimeoutMs: 6_000,
  rebalanceTimeoutMs: 6_000,
  heartbeatIntervalMs: 300,
  commitIntervalMs: 100,
  revocationMs: 500,
  ackTimeoutMs: 3_000,
  partitionCheckMs: 400,
  retryBackoffMs: 100
} satisfies ConsumerSettingsOverrides

export interface MemberOptions {
  readonly name: string
  readonly bootstrap: string
  readonly start: 'latest' | 'earliest'
}

/** A process that consumes through the library. It is this process, which forgets its groups without a word when it is killed. */
export async function libraryMember(
  { name, bootstrap, start }: MemberOptions,
  groupId: string,
  timeoutMs: () => number
): Promise<Member> {
  const instance = await GroupInstance.start(bootstrap, { ...QUICK, start }, name)
  const ask = async (topic: string): Promise<Asked> => {
    const result = await instance.consume(groupId, topic, timeoutMs())
    if (result.type === 'message') {
      const { message } = result
      return { type: 'message', id: String(message.value), place: placeOf(message), ack: () => message.ack() }
    }
    if (result.type === 'timedOut') return { type: 'nothing' }
    return { type: 'failed', why: JSON.stringify(result) }
  }
  return {
    name,
    asks: new Map([[groupId, ask]]),
    leave: () => instance.stop(),
    kill: async () => {
      await instance.castellan.groups.stop(0, 0)
      await instance.stop()
    }
  }
}

/** `castellan serve`, asked for messages of one group by Kafka-Pixy's API over HTTP, and of another one over gRPC. */
export async function gatewayMember(
  { name, bootstrap, start }: MemberOptions,
  workspace: Workspace,
  overHttp: string,
  overGrpc: string
): Promise<Member> {
  const [grpcPort] = await freePorts(1)
  // How often a gateway looks for new partitions is a constant; chaos waits for it.
  const { partitionCheckMs: _, sessionTimeoutMs, rebalanceTimeoutMs, ackTimeoutMs, ...advanced } = QUICK
  const flags = [
    ...flagsOf('consumer', { sessionTimeoutMs, rebalanceTimeoutMs, ackTimeoutMs, start, longPollMs: 800 }),
    ...flagsOf('advanced.consumer', advanced)
  ]
  flags.push(['--set', `apis.kafka-pixy.grpcPort=${grpcPort}`])
  const gateway = await GatewayProcess.start(workspace, bootstrap, ...flags.flat())
  const http = new PixyClient({ port: Number(new URL(gateway.url).port), prefix: '/pixy' })
  const grpc = new GrpcConsumer(`127.0.0.1:${grpcPort}`)
  const end = (signal: NodeJS.Signals) => async (): Promise<void> => {
    await kill(gateway.process, signal)
    http.close()
    grpc.close()
  }
  return {
    name,
    asks: new Map([
      [overHttp, topic => askByHttp(http, overHttp, topic)],
      [overGrpc, topic => grpc.ask(overGrpc, topic)]
    ]),
    leave: end('SIGTERM'),
    kill: end('SIGKILL')
  }
}

const flagsOf = (section: string, settings: Readonly<Record<string, unknown>>): string[][] =>
  Object.entries(settings).map(([name, value]) => ['--set', `${section}.${name}=${value}`])

async function askByHttp(client: PixyClient, group: string, topic: string): Promise<Asked> {
  try {
    const answer = await client.get(`/topics/${topic}/messages?group=${group}&noAck`)
    if (answer.status === 408) return { type: 'nothing' }
    if (answer.status !== 200) return { type: 'failed', why: `${answer.status} ${answer.body}` }
    const { value, partition, offset } = JSON.parse(answer.body) as { value: string; partition: number; offset: number }
    const query = `group=${group}&partition=${partition}&offset=${offset}`
    const ack = () => client.post(`/topics/${topic}/acks?${query}`).catch(() => undefined)
    const place = placeOf({ partition, offset })
    return { type: 'message', id: Buffer.from(value, 'base64').toString(), place, ack }
  } catch (error) {
    return { type: 'failed', why: String(error) }
  }
}

const GRPC_LIMIT_MS = 30_000

type Call = (
  request: object,
  options: { deadline: number },
  done: (error: ServiceError | null, answer: { message: Buffer; partition: number; offset: number }) => void
) => void

class GrpcConsumer {
  readonly #client: Client

  constructor(address: string) {
    this.#client = new (loadDefinition())(address, credentials.createInsecure())
  }

  ask(group: string, topic: string): Promise<Asked> {
    return new Promise(resolve => {
      this.#call('ConsumeNAck', { group, topic, no_ack: true }, (error, answer) => {
        if (error?.code === status.NOT_FOUND) resolve({ type: 'nothing' })
        else if (error) resolve({ type: 'failed', why: error.message })
        else {
          const { message, partition, offset } = answer
          const ack = () =>
            new Promise<void>(acked => this.#call('Ack', { group, topic, partition, offset }, () => acked()))
          resolve({ type: 'message', id: String(message), place: placeOf(answer), ack })
        }
      })
    })
  }

  #call(name: string, request: object, done: Parameters<Call>[2]): void {
    if (this.#isClosed) {
      done({ message: 'the member has ended' } as ServiceError, undefined as never)
      return
    }
    const method = (this.#client as unknown as Record<string, Call>)[name]!
    method.call(this.#client, request, { deadline: Date.now() + GRPC_LIMIT_MS }, done)
  }

  #isClosed = false
  close(): void {
    this.#isClosed = true
    this.#client.close()
  }
}
