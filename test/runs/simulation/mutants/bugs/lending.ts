import type { PlantedBug } from '../plant.js'

/**
 * Bugs of `src/deployment/lending`, and of what groups do for it, which the scenario `lent` notices. The tests of those folders, and no
 * world so far, notice two others: an end that is forgotten when it comes before its take, and a return that takes a newer
 * offer of the same offset.
 */
export const lendingBugs: readonly PlantedBug[] = [
  {
    name: 'lent-own-clients-last',
    about: 'A message is lent although a client of the same gateway waits.',
    edits: [
      { in: 'TopicConsumer.bytesToLend', find: '|| this.#isAsked', replaceWith: '' },
      { in: 'TopicConsumer.lend', find: '|| this.#isAsked', replaceWith: '' },
      { in: 'TopicConsumer.#serve', find: '&& !this.#isAsked', replaceWith: '' }
    ]
  },
  {
    name: 'lent-nothing-begun',
    about: 'The answer with a message of another gateway begins nothing.',
    edits: [{ in: 'GroupConsumer.noteBegun', find: 'start.begunElsewhere()', replaceWith: '' }]
  },
  {
    name: 'lent-no-message-meanwhile',
    about: 'A request is answered that there is no message while one is on its way from another gateway.',
    edits: [
      {
        in: 'WaitingRequest.onDue',
        find: 'if (this.#take?.isOver === false)',
        replaceWith: 'if (this.#take?.isOver === false && this.settled)'
      }
    ]
  },
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
