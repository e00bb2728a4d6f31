import { type Logger, type Offset, type PartitionIdentity, UNKNOWN_IDENTITY } from '../../core/model.js'
import type { FetchData, RoutedKind } from '../messages/operations.js'
import type { Due } from './deadlines.js'
import type { Obstacle, OperationDescriptor, RequestFor, ResultFor } from './operation.js'

/** Holds a request while it waits, and is told when the request has been answered or is held elsewhere. */
export interface Holder {
  release(request: AnyAccepted): void
}

/** The book in which an accepted request stands until it is answered. */
export interface OpenRequestList {
  readonly log: Logger
  settle(request: AnyAccepted): void
  expire(request: AnyAccepted): void
}

export type AnyAccepted = { [Kind in RoutedKind]: Accepted<Kind> }[RoutedKind]

/**
 * A request the Router has accepted: it gets exactly one answer. It is passed by reference from room to room, and any
 * room may answer it; the others then see that it is settled. All operations share this class, so that the code of the
 * hot paths meets objects of one shape only.
 */
export class Accepted<Kind extends RoutedKind> implements Due {
  readonly operation: OperationDescriptor<Kind>
  readonly kind: Kind
  readonly request: RequestFor<Kind>
  readonly acceptedAt: number
  readonly deadlineAt: number
  readonly #openRequests: OpenRequestList
  next: Due | undefined
  previous: Due | undefined
  settled = false
  /** `orders/3`; empty for operations that belong to no partition. */
  key = ''
  /** fetchData: the offset to read next. Moves on when there is no record at it (control batch, compacted). */
  position: Offset = 0
  /** The life of the partition as the Router knew it when it forwarded the request. */
  identity: PartitionIdentity = UNKNOWN_IDENTITY
  /** The cluster that was connected when it was accepted; `undefined`: it was not known. */
  clusterId: string | undefined
  /** The topic was created a moment ago, as far as the Router knows. */
  isOfNewTopic = false
  /** fetchData: the topic that its offset was meant for, by id; `undefined`: not known. */
  topicIdAsked: string | undefined
  /** How often a broker returned it to the Router. */
  returns = 0
  /** How often a dispatcher crashed while it held the request. */
  crashes = 0
  /** The node that said it does not know the partition (-1: none), and how often in a row. */
  unknownAt = -1
  unknownTimes = 0
  /** fetchData: how often the bytes at `position` were damaged. */
  damages = 0
  obstacle: Obstacle = 'noLeader'
  /** Why the broker could not be reached when the request was last sent to it. */
  lastError: string | undefined
  /** commitConsumerOffset: it was sent at least once, so it may have been stored. */
  wasSent = false
  /** A call that carries it is in flight. Until it ends, a batch is not answered and no other commit is sent. */
  inFlight = false
  /** commitConsumerOffset: called once it has been answered and is not in flight any more. */
  whenOver: (() => void) | undefined
  #holder: Holder | undefined

  constructor(
    openRequests: OpenRequestList,
    operation: OperationDescriptor<Kind>,
    request: RequestFor<Kind>,
    acceptedAt: number,
    deadlineAt: number
  ) {
    this.#openRequests = openRequests
    this.operation = operation
    this.kind = operation.kind
    this.request = request
    this.acceptedAt = acceptedAt
    this.deadlineAt = deadlineAt
    if (operation.kind === 'fetchData') this.position = (request as FetchData).offset
  }

  /** Gives the answer. Returns false, and does nothing, when it has been answered before. */
  answer(result: ResultFor<Kind>): boolean {
    if (this.settled) return false
    this.settled = true
    this.heldBy(undefined)
    this.#openRequests.settle(this as unknown as AnyAccepted)
    try {
      this.operation.give(this.request, result)
    } catch (error) {
      this.#openRequests.log.error(
        { err: error, operation: this.kind },
        'a requester threw while it was given its answer'
      )
    }
    if (!this.inFlight) this.whenOver?.()
    return true
  }

  /** The call that carried it has ended. */
  landed(): void {
    this.inFlight = false
    if (this.settled) this.whenOver?.()
  }

  /** Sets the holder, and releases the request from the former one. */
  heldBy(holder: Holder | undefined): void {
    const before = this.#holder
    this.#holder = holder
    if (before && before !== holder) before.release(this as unknown as AnyAccepted)
  }

  onDue(): void {
    this.#openRequests.expire(this as unknown as AnyAccepted)
  }
}
