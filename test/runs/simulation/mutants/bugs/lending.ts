import type { PlantedBug } from '../plant.js'

/**
 * Bugs of `src/deployment/lending`, and of what groups do for it, which the scenario `lent` notices. The tests of those folders, and no
 * world so far, notice others: an end that is forgotten when it comes before its take, own clients that are passed over, "no message" during a take,
 * a return that takes a newer offer of the same offset, a lent answer that begins nothing.
 */
export const lendingBugs: readonly PlantedBug[] = [
  {
    name: 'lent-acknowledged-at-taking',
    about: 'A message is acknowledged when another gateway has taken it.',
    edits: [
      {
        in: 'Loans.add',
        find: 'this.#count(loan, 1, held.bytes)',
        replaceWith: 'this.#count(loan, 1, held.bytes); offers!.ackAll(lent)'
      }
    ]
  },
  {
    name: 'lent-released-by-time-only',
    about:
      'A message that no client of the other gateway got is offered again when its time for an acknowledgement is over.',
    edits: [
      {
        in: 'Loans.#release',
        find: 'for (const [offers, lent] of byTopic) offers.releaseUnread(lent)',
        replaceWith: 'byTopic.clear()'
      }
    ]
  },
  {
    name: 'lent-want-without-end',
    about: 'What a gateway wanted once, it wants for good.',
    edits: [{ in: 'LASTS_MS', find: '2_000', replaceWith: '2_000_000' }]
  },
  {
    name: 'lent-two-takes',
    about: 'Two messages are taken for one request.',
    edits: [{ in: 'Borrower.offered', find: 'waiting.find(one => !this.#takes.has(one))', replaceWith: 'waiting[0]' }]
  },
  {
    name: 'lent-delivered-released',
    about: 'A message that a client is to acknowledge is offered again when its gateway is gone.',
    edits: [
      {
        in: 'Loans.settle',
        find: "for (const loan of this.#named(from, delivered, true)) this.#end(loan, 'delivered')",
        replaceWith: 'for (const loan of this.#named(from, delivered, true)) this.#had(loan)'
      }
    ]
  }
]
