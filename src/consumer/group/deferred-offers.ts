import type {
  NewOffer,
  OfferOf,
  OffersByPartition,
  ReadAgain,
  TakenByPartition,
  TopicOffers
} from './consume-result.js'
import type { OfferId, ParkedHolder } from './offset-tracker.js'
import type { PartitionConsumer } from './partition-consumer.js'
import type { TopicConsumer } from './topic-consumer.js'
import type { ReadPartition } from './transaction-messages.js'

/**
 * Settles messages of a topic, most of them in a later tick of the group's actor. The group may give the topic up, and read it
 * again, before a client is done with a message, so each call looks the consumer up.
 */
export class DeferredOffers implements TopicOffers {
  readonly #consumer: () => TopicConsumer | undefined
  readonly #tick: (run: () => void) => void
  /** Acknowledgements of the next tick, by partition. */
  #acked: Map<number, OfferId[]> | undefined

  /**
   * @param consumer the one of now; `undefined`: the group does not read the topic
   * @param tick calls back in a later tick of the group's actor
   */
  constructor(consumer: () => TopicConsumer | undefined, tick: (run: () => void) => void) {
    this.#consumer = consumer
    this.#tick = tick
  }

  #partition(number: number): PartitionConsumer | undefined {
    return this.#consumer()?.partition(number)
  }

  ackAll(taken: OffersByPartition): void {
    const isFirst = this.#acked === undefined
    const all = (this.#acked ??= new Map())
    for (const [partition, offers] of taken) {
      const before = all.get(partition)
      if (before === undefined) all.set(partition, [...offers])
      else for (const offer of offers) before.push(offer)
    }
    if (isFirst) this.#tick(this.#ackGathered)
  }

  readonly #ackGathered = (): void => {
    const all = this.#acked!
    this.#acked = undefined
    for (const [partition, offers] of all) this.#partition(partition)?.ackAll(offers)
  }

  releaseAll(taken: TakenByPartition): void {
    this.#tick(() => this.#release(taken))
  }

  releaseUnread(offers: OffersByPartition): void {
    this.#tick(() => {
      for (const [partition, ended] of offers) this.#partition(partition)?.releaseUnread(ended)
      this.#consumer()?.serve()
    })
  }

  parkAgain(offer: OfferOf, holder: ParkedHolder): NewOffer | undefined {
    return this.#now(() => this.#consumer()?.parkAgain(offer, holder))
  }

  releaseNow(taken: TakenByPartition): void {
    this.#now(() => this.#release(taken))
  }

  begin(offer: OfferOf): boolean {
    return this.#consumer()?.beginMessage(offer) === true
  }

  isOpen({ partition, offset, serial }: OfferOf): boolean {
    return this.#partition(partition)?.offerOf(offset)?.serial === serial
  }

  readAgain({ partition, offset }: OfferOf, onRead: (found: ReadAgain) => void): void {
    this.#now(() => this.#partition(partition)?.readAgain(offset, onRead))
  }

  read(partition: number): ReadPartition | undefined {
    return this.#partition(partition)?.read
  }

  #release(taken: TakenByPartition): void {
    for (const [partition, undelivered] of taken) this.#partition(partition)?.release(undelivered)
    this.#consumer()?.serve()
  }

  /** A bug ends the group, and not the program that has called. */
  #now<Result>(run: () => Result): Result | undefined {
    try {
      return run()
    } catch (error) {
      this.#tick(() => {
        throw error
      })
      return undefined
    }
  }
}
