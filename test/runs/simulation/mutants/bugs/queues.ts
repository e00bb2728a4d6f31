import type { PlantedBug } from '../plant.js'

/** Bugs of `src/consumer/queue`. */
export const queueBugs: readonly PlantedBug[] = [
  {
    name: 'queue-archives-untold',
    about: 'Nobody is told of a message that was archived because its lock or its connection was over.',
    edits: [
      {
        in: 'MessageLocks.#end',
        find: 'this.isLastDelivery(held.lock)',
        replaceWith: "this.isLastDelivery(held.lock) && held.state === 'settling'"
      }
    ]
  },
  {
    name: 'queue-believes-in-lost-answers',
    about: 'A settlement that Kafka has not answered is told as done.',
    edits: [
      {
        in: 'SessionAcknowledgements.sessionEnded',
        find: 'mayHaveReachedKafka ? UNKNOWN : LOST',
        replaceWith: "mayHaveReachedKafka ? { outcome: 'done' } : LOST"
      }
    ]
  },
  {
    name: 'queue-loses-what-is-on-its-way',
    about:
      'A settlement that Kafka has not answered is told as lost, so that its client believes that the message comes again.',
    edits: [
      {
        in: 'SessionAcknowledgements.sessionEnded',
        find: 'mayHaveReachedKafka ? UNKNOWN : LOST',
        replaceWith: 'mayHaveReachedKafka ? LOST : LOST'
      }
    ]
  },
  {
    name: 'queue-takes-stale-tokens',
    about: 'A token whose lock has ended settles a message that another client has got since.',
    edits: [
      {
        in: 'MessageLocks.#forgetToken',
        find: 'this.#byToken.delete(held.token)',
        replaceWith: ''
      }
    ]
  }
]
