import { expect } from 'chai'
import type { ProgramCastellan } from '../../src/client/open-castellan.js'
import type { ActorRef } from '../../src/core/actor/actor.js'
import { decodeSubscription } from '../../src/kafka/protocol/consumer-protocol.js'
import type { RouterMessage } from '../../src/router/messages/operations.js'
import { askRouter } from '../../src/router/routing/ask-router.js'
import { commitStart, lookAtKafka } from '../../src/webhooks/webhook-start.js'
import { onBroker } from '../support/stage.js'
import { FakeEndpoint } from './fake-endpoint.js'
import { hook, webhooksOf } from './webhook-stage.js'

const GROUP = 'castellan-webhook-hook'
const TIMES = { sessionTimeoutMs: 6_000, rebalanceTimeoutMs: 6_000 }

type Asked = Extract<RouterMessage, { readonly type: string }> & Record<string, unknown>

/** A Router whose questions a test sees, and may keep from it. */
class TappedRouter implements ActorRef<RouterMessage> {
  readonly path = 'tapped'
  readonly asked: Asked[] = []
  readonly #router: ActorRef<RouterMessage>
  #waitsFor: string | undefined
  #came: (() => void) | undefined
  #release: (() => void) | undefined

  constructor(router: ActorRef<RouterMessage>) {
    this.#router = router
  }

  tell(message: RouterMessage): void {
    const requests = (message.type === 'requests' ? message.requests : [message]) as readonly Asked[]
    this.asked.push(...requests)
    if (requests[0]?.type === this.#waitsFor) {
      this.#waitsFor = undefined
      this.#release = () => this.#router.tell(message)
      this.#came?.()
    } else this.#router.tell(message)
  }

  stop(): void {}

  /** Keeps the next question of a kind until {@link release}. Resolves when it is there. */
  hold(type: string): Promise<void> {
    this.#waitsFor = type
    return new Promise(resolve => (this.#came = resolve))
  }

  release(): void {
    this.#release!()
  }
}

describe('gateways that begin a webhook', () => {
  const stage = onBroker()
  const definition = (topic: string) => ({ name: 'hook', topic, start: 'latest', deadLetters: undefined }) as const

  async function gateway(topic: string) {
    const castellan = await stage.library()
    const router = new TappedRouter(castellan.router.ref)
    const kafka = (await lookAtKafka(router, definition(topic)))!
    return { castellan, router, begin: () => commitStart(router, definition(topic), kafka, TIMES) }
  }
  const committedBy = async ({ verbs }: ProgramCastellan, topic: string) =>
    (await verbs.groups.offsets(GROUP, topic, 5_000))?.map(({ committed }) => committed?.offset)
  const commits = ({ asked }: TappedRouter) => asked.filter(({ type }) => type === 'commitConsumerOffset').length

  it('commit where it begins in one call, before a member reads the topic', async () => {
    const topic = await stage.topic('orders', 5)
    const calls = stage.cluster.faults.add(
      { api: 'OffsetCommit', count: Number.POSITIVE_INFINITY },
      { type: 'delay', delayMs: 0 }
    )
    const { castellan, router } = await gateway(topic)
    const endpoint = new FakeEndpoint()
    const webhooks = webhooksOf({ ...castellan, router: { ...castellan.router, ref: router } }, endpoint)
    const reads = new Promise<number>(resolve => {
      const tell = router.tell.bind(router)
      router.tell = message => {
        const { protocols: [{ metadata }] = [{ metadata: undefined }] } = message as never as {
          readonly protocols?: readonly [{ readonly metadata: Buffer }]
        }
        if (metadata !== undefined && decodeSubscription(metadata).length > 0) resolve(calls.fired)
        tell(message)
      }
    })
    webhooks.configure([hook({ topic, start: 'latest' })])
    expect(await reads).to.equal(1)
    expect(commits(router)).to.equal(5)
    expect(await committedBy(castellan, topic)).to.deep.equal([0, 0, 0, 0, 0])
    await webhooks.close(1_000)
  })

  it('take it where another one has begun meanwhile, whose records are passed over else', async () => {
    const topic = await stage.topic()
    const [first, late] = [await gateway(topic), await gateway(topic)]
    const looks = late.router.hold('fetchOffset')
    const begun = late.begin()
    await looks
    expect(await first.begin()).to.equal(true)
    await first.castellan.produceOrThrow([{ topic, key: 'a', value: 'between' }])
    late.router.release()
    expect(await begun).to.equal(true)
    expect(commits(late.router)).to.equal(0)
    expect(await committedBy(first.castellan, topic)).to.deep.equal([0])
  })

  it('wait while another one commits', async () => {
    const topic = await stage.topic()
    const [first, second] = [await gateway(topic), await gateway(topic)]
    const commit = first.router.hold('commitConsumerOffset')
    const begun = first.begin()
    await commit
    const joins = second.router.hold('joinGroup')
    const other = second.begin()
    await joins
    second.router.release()
    first.router.release()
    expect(await begun).to.equal(true)
    expect(await other).to.equal(true)
    expect(commits(second.router)).to.equal(0)
  })

  it('do not change it by a commit that comes too late', async () => {
    const topic = await stage.topic()
    const [late, other] = [await gateway(topic), await gateway(topic)]
    const commit = late.router.hold('commitConsumerOffset')
    const begun = late.begin()
    await commit
    const { memberId } = late.router.asked.find(({ type }) => type === 'syncGroup') as never as { memberId: string }
    // As after its session.
    const member = { groupId: GROUP, memberId, instanceId: null, connection: 'start', timeoutMs: 5_000 }
    await askRouter(other.castellan.router.ref, { type: 'leaveGroup', ...member })
    await other.castellan.produceOrThrow([{ topic, key: 'a', value: 'before' }])
    expect(await other.begin()).to.equal(true)
    late.router.release()
    expect(await begun).to.equal(false)
    expect(await committedBy(other.castellan, topic)).to.deep.equal([1])
  })
})
