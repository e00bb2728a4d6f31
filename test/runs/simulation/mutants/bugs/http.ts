import type { PlantedBug } from '../plant.js'

/** Bugs of `src/http` and `src/apis`. */
export const httpBugs: readonly PlantedBug[] = [
  {
    name: 'answer-names-another-offset',
    about: "Kafka-Pixy's answer names an offset that is one too high.",
    edits: [{ in: 'placeOf', find: 'const timestamp =', replaceWith: 'offset++\n  const timestamp =' }]
  },
  {
    name: 'body-bytes-kept',
    about: 'Bytes of a body are not given back when its request is over.',
    edits: [{ in: 'RequestsOfConnection.give', find: 'this.host.give(request, bytes)', replaceWith: '' }]
  },
  {
    name: 'message-acknowledged-by-getting',
    about:
      "A message of Kafka-Pixy's API counts as acknowledged when it is sent, although the client said that it will acknowledge it.",
    edits: [
      {
        in: 'Poll.delivered',
        find: 'if (this.#options.isAutoAck)',
        replaceWith: 'if (this.#options.isAutoAck || this.#messages)'
      }
    ]
  },
  {
    name: 'websocket-replies-alike',
    about: 'Replies of a websocket to messages that were handed on together all have the offset of the first one.',
    edits: [
      {
        in: 'WebsocketSession.#replyTo',
        find: 'const { partition, offset } = outcome',
        replaceWith:
          "const { partition, offset } = outcomes!.find(({ type }) => type === 'delivered') as typeof outcome"
      }
    ]
  }
]
