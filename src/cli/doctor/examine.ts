import { performanceClock } from '../../core/clocks.js'
import { pause } from '../../core/ending.js'
import { KafkaError, UnavailableError } from '../../core/errors.js'
import { inTime } from '../../core/in-time.js'
import type { BrokerAddress } from '../../core/model.js'
import { messageOf } from '../../core/node-errors.js'
import {
  type BrokerClient,
  type BrokerClientFactory,
  type CallName,
  calledApis,
  type MetadataResponse
} from '../../kafka/broker-client.js'
import { codesOf, errorCodes } from '../../kafka/error-codes.js'
import type { AclRight } from '../../kafka/features.js'
import { type Answers, type DoctorFinding, findingsOf, type KafkaAnswer } from './findings.js'

/** Topics, group and other names to ask Kafka about. */
export interface Question {
  readonly topics: readonly string[]
  readonly group?: string | undefined
  /** Topic of consumer instances; empty: there is none. */
  readonly instancesTopic: string
  /** Time limit for all answers together. */
  readonly timeoutMs: number
}

interface NodeOfCluster {
  readonly nodeId: number
  readonly client: BrokerClient
  /** Calls that the broker offered when it was connected: a lost connection offers none. */
  readonly offered: ReadonlySet<CallName>
}

/** A coordinator that will be there soon, or is another node. Kafka has none before the first group. */
const SOON = codesOf('COORDINATOR_NOT_AVAILABLE', 'COORDINATOR_LOAD_IN_PROGRESS', 'NOT_COORDINATOR')
const PAUSE_MS = 200
const CALLS = Object.keys(calledApis) as readonly CallName[]
const CREATES_TOPICS = 'auto.create.topics.enable'

class NoAnswer extends UnavailableError {
  constructor(message: string) {
    super('brokerUnreachable', message)
  }
}

/**
 * Asks brokers what they offer and grant. It changes nothing, but for a producer id that it takes from the cluster and leaves. It
 * names no transactional id, which would fence the producer that runs, joins no group, and commits and acquires nothing.
 */
export class Doctor {
  readonly #createClient: BrokerClientFactory
  readonly #clients = new Map<string, BrokerClient>()
  /** Monotonic, in milliseconds. */
  #until = 0

  constructor(createClient: BrokerClientFactory) {
    this.#createClient = createClient
  }

  async close(): Promise<void> {
    await Promise.all(Array.from(this.#clients.values(), client => client.close()))
  }

  /** @throws CastellanError when no broker answers */
  async examine(bootstrap: readonly BrokerAddress[], question: Question): Promise<readonly DoctorFinding[]> {
    this.#until = performanceClock() + question.timeoutMs
    const { topics, instancesTopic } = question
    const asked = instancesTopic === '' ? topics : [...topics, instancesTopic]
    const { first, metadata } = await this.#firstAnswer(bootstrap, asked, question.timeoutMs)
    const { nodes, away } = await this.#connectAll(metadata.brokers)
    const offers: Answers['offers'] = call => nodes.every(({ offered }) => offered.has(call))
    const settings = await this.#settings(nodes[0]!, question, offers('describeShareGroupOffsets'))
    const group = await this.#group(first, question.group, offers)
    const idCode = await this.#untilCoordinated(() => this.#codeOf(first.initProducerId({})))
    const told = (name: string): KafkaAnswer => {
      const { errorCode = errorCodes.NONE, authorizedOperations } =
        metadata.topics.find(({ topic }) => topic === name) ?? {}
      return { name, errorCode, operations: authorizedOperations, tried: settings.tried('topic', name) }
    }
    const ofGroup = settings.tried('group', question.group ?? '')
    const answers = {
      topics: topics.map(told),
      instances: instancesTopic === '' ? undefined : told(instancesTopic),
      group: group && { ...group, tried: new Map([...ofGroup, ...group.tried]) },
      idCode,
      settingsCode: settings.codeOfBroker,
      createsTopics: settings.createsTopics,
      offers
    }
    return [...away, ...findingsOf(answers)]
  }

  /**
   * Asks one broker after the other, and each of them once more: one lost connection tells nothing of Kafka.
   *
   * @throws CastellanError when none answers
   */
  async #firstAnswer(
    bootstrap: readonly BrokerAddress[],
    topics: readonly string[],
    timeoutMs: number
  ): Promise<{ readonly first: BrokerClient; readonly metadata: MetadataResponse }> {
    let failure: unknown
    const tries = [...bootstrap, ...bootstrap]
    for (const [tried, address] of tries.entries()) {
      const client = this.#clientAt(address)
      const ask = async () => {
        await client.connect()
        return await client.metadata({ topics, allowAutoTopicCreation: false, withAuthorizedOperations: true })
      }
      try {
        return { first: client, metadata: await this.#inTime(ask(), 1 / (tries.length - tried + 1)) }
      } catch (error) {
        // A reason says more than silence does.
        if (!(error instanceof NoAnswer)) failure = error
        this.#clients.delete(keyOf(address))
        void client.close()
      }
    }
    const within = `within ${timeoutMs / 1_000} s`
    throw failure ?? new NoAnswer(`no answer from ${bootstrap.map(keyOf).join(', ')} ${within}`)
  }

  /** @throws CastellanError when none of them answers: it is not at the address that brokers give to clients */
  async #connectAll(
    brokers: readonly (BrokerAddress & { readonly nodeId: number })[]
  ): Promise<{ readonly nodes: readonly NodeOfCluster[]; readonly away: readonly DoctorFinding[] }> {
    const nodes: NodeOfCluster[] = []
    const away: DoctorFinding[] = []
    let failure: unknown
    const connect = async ({ nodeId, host, port }: (typeof brokers)[number]): Promise<void> => {
      const client = this.#clientAt({ host, port })
      try {
        await this.#inTime(client.connect())
        nodes.push({ nodeId, client, offered: new Set(CALLS.filter(call => client.offers(call))) })
      } catch (error) {
        failure = error
        away.push({ about: `broker ${nodeId}`, outcome: 'cannot tell', detail: messageOf(error), grants: [] })
      }
    }
    await Promise.all(brokers.map(connect))
    if (nodes.length === 0) throw failure
    return { nodes, away }
  }

  /**
   * Waits for an answer. What is asked next needs time, too.
   *
   * @param share of the time that is left
   * @throws NoAnswer when that is over
   */
  #inTime<Answer>(answer: Promise<Answer>, share = 1 / 2): Promise<Answer> {
    const leftMs = Math.max(0, (this.#until - performanceClock()) * share)
    const message = `no answer within ${Math.round(leftMs)} ms`
    return inTime(answer, leftMs, () => Promise.reject(new NoAnswer(message)))
  }

  readonly #codeOf = (answer: Promise<{ readonly errorCode: number }>): Promise<number> =>
    this.#inTime(answer)
      .catch(asCode)
      .then(({ errorCode }) => errorCode)

  /** Asks again while the coordinator is not there. */
  async #untilCoordinated(ask: () => Promise<number>): Promise<number> {
    const until = (performanceClock() + this.#until) / 2
    for (;;) {
      const code = await ask()
      if (!SOON.has(code) || performanceClock() >= until) return code
      await pause(PAUSE_MS)
    }
  }

  #clientAt({ host, port }: BrokerAddress): BrokerClient {
    const key = keyOf({ host, port })
    const client = this.#clients.get(key) ?? this.#createClient({ host, port }, 'doctor')
    this.#clients.set(key, client)
    return client
  }

  /** Asks for the rights of the principal on the group; `undefined`: no group was named. */
  async #group(
    first: BrokerClient,
    name: string | undefined,
    offers: Answers['offers']
  ): Promise<KafkaAnswer | undefined> {
    if (name === undefined) return undefined
    let operations: KafkaAnswer['operations']
    let describe: number = errorCodes.NONE
    const errorCode = await this.#untilCoordinated(async () => {
      const found = await this.#inTime(first.findCoordinator({ groupId: name, keyType: 'group' })).catch(asCode)
      if (found.errorCode !== errorCodes.NONE || !('coordinator' in found)) return found.errorCode
      const client = this.#clientAt(found.coordinator)
      const call = { groupIds: [name], withAuthorizedOperations: true }
      const described = await this.#inTime(client.describeGroups(call)).then(({ groups: [group] }) => group!, asCode)
      if ('authorizedOperations' in described) operations = described.authorizedOperations
      describe = await this.#codeOf(client.offsetFetch({ groupId: name, partitions: null }))
      if (describe === errorCodes.NONE && offers('describeShareGroupOffsets')) {
        const code = await this.#codeOf(client.describeShareGroupOffsets({ groupId: name }))
        if (code === errorCodes.GROUP_AUTHORIZATION_FAILED) describe = code
      }
      return described.errorCode
    })
    return { name, errorCode, operations, tried: new Map([['Describe', describe]]) }
  }

  /** Asks for settings of a broker, the topics, and the group where there are such settings. */
  async #settings(
    { nodeId, client }: NodeOfCluster,
    { topics, group }: Question,
    hasGroups: boolean
  ): Promise<DoctorSettings> {
    const resources: { readonly type: 'broker' | 'topic' | 'group'; readonly name: string }[] = [
      { type: 'broker', name: String(nodeId) },
      ...topics.map(name => ({ type: 'topic', name }) as const),
      ...(hasGroups && group !== undefined ? [{ type: 'group', name: group } as const] : [])
    ]
    const answers = await Promise.all(
      resources.map(async ({ type, name }) => {
        const call = { resources: [{ type, name }], ...(type === 'broker' && { names: [CREATES_TOPICS] }) }
        const answer = await this.#inTime(client.describeConfigs(call)).then(({ resources: [one] }) => one!, asCode)
        return { type, name, answer }
      })
    )
    const [ofBroker] = answers
    const { answer } = ofBroker!
    const value = 'configs' in answer ? answer.configs.find(({ name }) => name === CREATES_TOPICS)?.value : undefined
    return {
      codeOfBroker: answer.errorCode,
      createsTopics: value === undefined ? undefined : value !== 'false',
      tried(type, name) {
        const found = answers.find(one => one.type === type && one.name === name)
        return new Map(found && [['DescribeConfigs', found.answer.errorCode]])
      }
    }
  }
}

interface DoctorSettings {
  readonly codeOfBroker: number
  readonly createsTopics: boolean | undefined
  tried(type: 'topic' | 'group', name: string): ReadonlyMap<AclRight[0], number>
}

/** A call that failed, as an answer with its code. */
const asCode = (error: unknown): { readonly errorCode: number } => ({
  errorCode: error instanceof KafkaError ? error.errorCode : errorCodes.NETWORK_EXCEPTION
})

const keyOf = ({ host, port }: BrokerAddress): string => `${host}:${port}`
