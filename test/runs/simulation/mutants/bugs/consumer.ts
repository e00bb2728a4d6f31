import type { PlantedBug } from '../plant.js'

/** Bugs of `src/consumer`. */
export const consumerBugs: readonly PlantedBug[] = [
  {
    name: 'group-commits-past-unacknowledged',
    about: 'A group commits the offset behind the message that was acknowledged last.',
    edits: [
      {
        in: 'OffsetTracker.skipped',
        find: 'this.#acked.nextMissing(this.#offset)',
        replaceWith: 'Math.max(this.#offset, to)'
      }
    ]
  },
  {
    name: 'group-forgets-messages',
    about: 'A message of a group that is not acknowledged in time is not offered again.',
    edits: [
      {
        in: 'OffsetTracker.nextRetry',
        find: `
          if (!this.#isLastRetry(offer)) {
            offer.retries++
            offer.deadlineAt = now + this.#options.ackTimeoutMs
            offer.isOver = true
            return offer
          }`,
        replaceWith: 'if (!this.#isLastRetry(offer)) continue'
      }
    ]
  },
  {
    name: 'group-skips-first-messages',
    about: 'A partition without a committed offset is read from its end, whenever it appears.',
    edits: [
      {
        in: 'TopicStart.find',
        find: 'const byLeader = this.#byLeader',
        replaceWith: `
          if (partition >= 0) return onStart(this.#setting)
          const byLeader = this.#byLeader`
      }
    ]
  },
  {
    name: 'member-skips-unacknowledged',
    about: 'A member that takes over a partition begins behind the last message that was acknowledged.',
    edits: [
      {
        in: 'OffsetTracker.constructor',
        find: 'this.#acked = new OffsetRanges(acked)',
        replaceWith: `
          this.#acked = new OffsetRanges(acked)
          for (const { to } of this.#acked.all) this.#offset = Math.max(this.#offset, to)`
      }
    ]
  },
  {
    name: 'message-offered-twice',
    about: 'A message is offered once more while its acknowledgement is still expected.',
    edits: [
      {
        in: 'OffsetTracker.offered',
        find: 'now + this.#options.ackTimeoutMs',
        replaceWith: 'now - 1'
      }
    ]
  },
  {
    name: 'transaction-is-overtaken',
    about: 'A group commits a position while a transaction with a position of the partition is open.',
    edits: [
      {
        in: 'mayCommit',
        find: 'locks.length === 0 || isUnsure',
        replaceWith: 'locks.length >= 0 || isUnsure'
      }
    ]
  },
  {
    name: 'transaction-is-read-unstable',
    about: 'A member begins at the offset from before a transaction that is being finished.',
    edits: [
      {
        in: 'PositionFinder.#findPosition',
        find: 'requireStable: true',
        replaceWith: 'requireStable: false'
      }
    ]
  },
  {
    name: 'transaction-of-unknown-end-is-repeated',
    about: 'What a transaction acknowledged is offered again although nobody knows whether it has committed.',
    edits: [
      {
        in: 'TransactionMessages.#settle',
        find: "result === 'unknown'",
        replaceWith: 'false'
      }
    ]
  }
]
