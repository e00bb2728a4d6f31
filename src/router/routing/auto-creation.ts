import type { BrokerAddress } from '../../core/model.js'
import type { BrokerClient, MetadataResponse } from '../../kafka/broker-client.js'
import { errorCodes } from '../../kafka/error-codes.js'

const SETTING = 'auto.create.topics.enable'
/** The setting of a broker changes with a restart of it only. */
const BELIEVED_FOR_MS = 60_000

interface Said {
  readonly askedAt: number
  /** `undefined`: it has not said, or may not be asked. */
  creates: boolean | undefined
}

/**
 * Whether brokers create a missing topic that a look-up names: the setting `auto.create.topics.enable` of each broker that
 * was asked to create one. A principal needs the right `DescribeConfigs` on the cluster to be told; without it, and until a
 * broker has answered, topics may appear.
 */
export class AutoCreation {
  readonly #timeoutMs: number
  readonly #byAddress = new Map<string, Said>()

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs
  }

  /** True when every broker that was asked to create a topic lately says that it creates none. */
  get isOff(): boolean {
    const all = [...this.#byAddress.values()]
    return all.length > 0 && all.every(({ creates }) => creates === false)
  }

  /** A broker has been asked to create topics, with this answer. It is asked for its setting unless it said it lately. */
  wasAsked(client: BrokerClient, { host, port }: BrokerAddress, { brokers }: MetadataResponse, now: number): void {
    for (const [name, { askedAt }] of this.#byAddress) {
      if (now - askedAt > 2 * BELIEVED_FOR_MS) this.#byAddress.delete(name)
    }
    const name = `${host}:${port}`
    const known = this.#byAddress.get(name)
    if (known !== undefined && now - known.askedAt <= BELIEVED_FOR_MS) return
    const said: Said = { askedAt: now, creates: known?.creates }
    this.#byAddress.set(name, said)
    // A bootstrap address may be that of a proxy in front of several brokers.
    const node = brokers.find(broker => broker.host === host && broker.port === port)
    if (node === undefined) said.creates = undefined
    else {
      this.#ask(client, node.nodeId).then(
        creates => (said.creates = creates),
        () => (said.creates = undefined)
      )
    }
  }

  /** Another cluster is connected. */
  clear(): void {
    this.#byAddress.clear()
  }

  async #ask(client: BrokerClient, nodeId: number): Promise<boolean | undefined> {
    const call = { nodeId, names: [SETTING], timeoutMs: this.#timeoutMs }
    const { errorCode, configs } = await client.describeBrokerConfigs(call)
    const value = errorCode === errorCodes.NONE ? configs.get(SETTING) : undefined
    return value === 'true' ? true : value === 'false' ? false : undefined
  }
}
