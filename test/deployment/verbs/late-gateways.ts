import { defaultConsumerSettings } from '../../../src/consumer/group/settings.js'
import { ConsumerInstances } from '../../../src/consumer/instance/consumer-instances.js'
import type { InstanceName, InstanceVerbs } from '../../../src/consumer/instance/instances.js'
import type { ActorSystem } from '../../../src/core/actor/actor.js'
import { defaultLogger } from '../../../src/core/metrics/metrics-logger.js'
import { silentLogger } from '../../../src/core/model.js'
import { RecordBudget } from '../../../src/core/record-budget.js'
import { NO_ANSWER, NOT_SENT, PeerError, type PeerHandler, type Peers } from '../../../src/deployment/calls/peers.js'
import { hashedOwner, PeerInstances } from '../../../src/deployment/verbs/peer-instances.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import type { RouterMessage } from '../../../src/router/messages/operations.js'
import { kafkaFailure } from '../../../src/router/requests/failures.js'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { StateTopic } from '../../support/state-topic.js'

const away = (): PeerError => new PeerError('away', { name: 'Error', message: 'away', code: NO_ANSWER })
/** The time of a call is over. */
const LATE = new PeerError('no answer in time')
const UNSENT = new PeerError('not sent', { name: 'Error', message: 'not sent', code: NOT_SENT })

interface Stage {
  readonly kafka: Pick<Kafka, 'answer'>
  readonly network: Pick<Network, 'peersOf'>
  readonly system: ActorSystem
}

/** What all gateways share: the topic of states, and committed offsets. */
export class Kafka extends StateTopic {
  readonly commits: number[] = []
  onCommit: (offset: number) => void = () => undefined
  /** Kafka does not allow to write the topic of states. */
  isForbidden = false
  /** Commits on their way; `undefined`: they are there at once. */
  onTheirWay: (() => void)[] | undefined

  override answer(message: RouterMessage): unknown {
    if (message.type === 'produce' && this.isForbidden)
      return { type: 'done', outcomes: [kafkaFailure(errorCodes.TOPIC_AUTHORIZATION_FAILED)] }
    if (message.type !== 'commitConsumerOffset') return super.answer(message)
    const { offset } = message.offsetAndMetadata
    const done = { type: 'success' } as const
    const commit = (): void => {
      this.commits.push(offset)
      this.onCommit(offset)
    }
    if (this.onTheirWay) {
      this.onTheirWay.push(() => {
        commit()
        ;(message.requester as { reply(result: unknown): void }).reply(done)
      })
      return undefined
    }
    commit()
    return done
  }
}

/** Gateways whose calls can be held up on their way, and arrive later, when their callers have given them up. */
export class Network {
  readonly handlers = new Map<string, Map<string, PeerHandler<string>>>()
  /** The gateways that each one cannot call. */
  readonly silent = new Set<string>()
  /** `FROM>TO` where calls are held up, and where calls are carried out and have no answer. */
  readonly cut = new Set<string>()
  readonly deaf = new Set<string>()
  /** The same, where calls are held up and their time is over, and where none can be sent. */
  readonly slow = new Set<string>()
  readonly unsent = new Set<string>()
  /** The end of the name of calls that are held up, and those that are. */
  held: string | undefined
  /** Settles when the callers of calls that are held up give them up. */
  givenUp: Promise<unknown> | undefined
  /** The same, of calls whose callers wait for them. */
  stuck: string | undefined
  readonly late: (() => Promise<unknown>)[] = []
  /** Tell each gateway that another one is gone for it. */
  readonly whenGone: ((id: string) => void)[] = []
  /** Changes what is sent. */
  changes: (body: unknown) => void = () => undefined

  peersOf(id: string): Peers {
    this.handlers.set(id, new Map())
    return {
      id,
      others: ['a', 'b', 'c'].filter(other => other !== id),
      serve: (name, handler) => void this.handlers.get(id)!.set(name, handler),
      onGone: listener => void this.whenGone.push(listener),
      call: async (to, name, body, { timeoutMs }) => {
        const sent = structuredClone(body)
        this.changes(sent)
        const arrive = async () =>
          structuredClone(await this.handlers.get(to)!.get(name)!(sent, { from: id, timeoutMs }))
        if (this.stuck !== undefined && name.includes(` ${this.stuck} `))
          return new Promise(resolve => {
            this.late.push(async () => {
              const answer = await arrive()
              resolve(answer)
              return answer
            })
          })
        if (this.cut.has(`${id}>${to}`) || (this.held !== undefined && name.includes(` ${this.held} `))) {
          this.late.push(arrive)
          await this.givenUp
          throw away()
        }
        if (this.slow.has(`${id}>${to}`)) {
          this.late.push(arrive)
          throw LATE
        }
        if (this.unsent.has(`${id}>${to}`)) throw UNSENT
        if (this.silent.has(to) && !name.includes(' release ')) throw away()
        const answer = await arrive()
        if (this.deaf.has(`${id}>${to}`)) throw away()
        return answer
      }
    }
  }

  /** The first call that was held up arrives. */
  async arrives(): Promise<unknown> {
    return this.late.shift()!()
  }
}

/** Calls as those of release 0.2.0. */
export function forgetAttempt(body: unknown): void {
  const [named] = Array.isArray(body) ? body : [body]
  delete (named as { attempt?: unknown } | undefined)?.attempt
}

export class StagedGateway {
  readonly instances: ConsumerInstances
  readonly verbs: InstanceVerbs

  /** @param isHashed each instance has its own owner, as outside of tests */
  constructor(id: string, { kafka, network, system }: Stage, instancesTopic: string, isHashed = false) {
    const tell = (message: RouterMessage): void => {
      const result = kafka.answer(message)
      if (result !== undefined && 'requester' in message)
        queueMicrotask(() => (message.requester as { reply(result: unknown): void }).reply(result))
    }
    this.instances = new ConsumerInstances({
      records: new RecordBudget(1_000_000, () => 0),
      system,
      router: { path: `router-${id}`, tell, stop: () => undefined },
      settings: { ...defaultConsumerSettings, instancesTopic },
      clock: () => performance.now(),
      now: () => 0,
      log: silentLogger,
      metrics: defaultLogger
    })
    const peers = network.peersOf(id)
    const own = Object.assign(new FakeVerbs(), { instances: this.instances as InstanceVerbs })
    const hashed = hashedOwner(this.instances, 'default', peers)
    // Of the three, `b` has the instance while it can be called, then `a`, then `c`.
    const ownerOf = (_: InstanceName, gone: ReadonlySet<string>) => ['b', 'a', 'c'].find(one => !gone.has(one))
    this.verbs = new PeerInstances(own, 'default', peers, isHashed ? hashed : ownerOf, new RecordBudget(1e9, () => 0))
  }
}
