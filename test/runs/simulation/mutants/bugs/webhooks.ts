import type { PlantedBug } from '../plant.js'

/**
 * Bugs of `src/webhooks`, and of what groups do for it, which the scenario `webhooks` notices. Six others, planted by hand, are noticed
 * by tests of the room: dead letters without end, one that Kafka has not taken, one of a partition that is another gateway's, a skip
 * that leaves the record open (`record-run.test.ts`), an address that is not checked since it is a literal
 * (`endpoint/attacks.socket.test.ts`), and groups of webhooks among those whose messages are lent (`webhooks.system.test.ts`).
 */
export const webhookBugs: readonly PlantedBug[] = [
  {
    name: 'webhook-acknowledged-before-answer',
    about: 'A record is acknowledged when its attempt begins.',
    edits: [
      {
        in: 'RecordRun.#begun',
        find: 'const startedAt = clock()',
        replaceWith: 'open.offers.ackAll(open.asOffers); const startedAt = clock()'
      }
    ]
  },
  {
    name: 'webhook-lane-of-partition',
    about: 'All records of a partition wait for each other.',
    edits: [{ in: 'RecordRun.#laneOf', find: 'laneOfKey(partition, key)', replaceWith: 'String(partition)' }]
  },
  {
    name: 'webhook-no-lanes',
    about: 'Records of one key are sent side by side.',
    edits: [{ in: 'RecordRun.#laneOf', find: 'key === null ||', replaceWith: 'key === null || partition >= 0 ||' }]
  },
  {
    name: 'webhook-redirect-counts',
    about: 'A redirect counts as an answer of where it points to.',
    edits: [{ in: 'verdictOf', find: 'status < 300', replaceWith: 'status < 400' }]
  },
  {
    name: 'webhook-retry-after-forgotten',
    about: 'What an endpoint asks for with Retry-After is forgotten.',
    edits: [{ in: 'retryAfterOf', find: 'result.retryAfterMs ?? 0', replaceWith: '0 * (result.retryAfterMs ?? 0)' }]
  },
  {
    name: 'webhook-pause-ends-with-rebalance',
    about: 'A record that is given again is sent at once, however long it was to wait.',
    edits: [{ in: 'RecordRun.#restOf', find: '? restMs : 0', replaceWith: '? 0 : 0' }]
  },
  {
    name: 'webhook-paused-is-no-member',
    about: 'A webhook that is paused does not join its group, whose commits Kafka deletes then.',
    edits: [
      {
        in: 'Webhook.#ask',
        find: 'if (!this.#hasJoined ||',
        replaceWith: 'if (!this.#hasJoined || this.#definition.paused ||'
      }
    ]
  },
  {
    name: 'webhook-foreign-clients',
    about: 'Others may consume and acknowledge for the group of a webhook.',
    edits: [
      {
        in: 'refusalOfWebhookGroup',
        find: '!groupId.startsWith(WEBHOOK_GROUPS)',
        replaceWith: 'groupId.length > 0 || !groupId.startsWith(WEBHOOK_GROUPS)'
      }
    ]
  },
  {
    name: 'webhook-given-up-by-group',
    about: 'The rules of groups count: a record that takes long is given up as acknowledged.',
    edits: [
      { in: 'OWN_RULES', find: 'maxRetries: -1', replaceWith: 'maxRetries: 1' },
      { in: 'OWN_RULES', find: 'ackTimeoutMs: Number.POSITIVE_INFINITY', replaceWith: 'ackTimeoutMs: 500' }
    ]
  },
  {
    name: 'webhook-404-is-the-record',
    about: 'A wrong path makes dead letters of all records.',
    edits: [{ in: 'OF_RECORD', find: '[400,', replaceWith: '[400, 404,' }]
  },
  {
    name: 'webhook-refused-again-first',
    about: 'The record that has failed is always tried before all others.',
    edits: [
      {
        in: 'Lanes.next',
        find: 'this.#inTurn.firstPlace as',
        replaceWith: 'this.#inTurn.firstPlace?.before.before as'
      },
      { in: 'RecordRun.#pause', find: '}, ms)', replaceWith: '}, 0)' },
      { in: 'RecordRun.#restOf', find: '? restMs : 0', replaceWith: '? 0 : 0' }
    ]
  },
  {
    name: 'webhook-lost-in-silence',
    about: 'A record that retention has deleted while it was open is not named.',
    edits: [
      {
        in: 'RecordRun.#gone',
        find: 'this.lost({ topic: open.topic, partition: open.partition }, open.offset, open.offset + 1, 1)',
        replaceWith: ''
      }
    ]
  },
  {
    name: 'webhook-gap-in-silence',
    about: 'Records that retention has deleted before they were read are not named.',
    edits: [{ in: 'GroupLogReader.#skipTo', find: 'if (records > 0)', replaceWith: 'if (records > 1e9)' }]
  },
  {
    name: 'webhook-attempts-of-failing-endpoint',
    about: 'Attempts count against a record while the endpoint fails for all.',
    edits: [{ in: 'RecordRun.#judge', find: 'this.#delivered > tries.delivered', replaceWith: 'this.#delivered >= 0' }]
  },
  {
    name: 'webhook-window-ignored',
    about: 'More attempts are under way than the window allows.',
    edits: [
      { in: 'Pace.mayBegin', find: 'this.#inFlight < this.#window', replaceWith: 'this.#inFlight <= this.#window' }
    ]
  },
  {
    name: 'webhook-id-of-attempt',
    about: 'Each gateway, or each attempt, gives a record an id of its own.',
    edits: [
      {
        in: 'RecordRun.#begun',
        find: 'requestOf(definition(), open.id,',
        replaceWith: 'requestOf(definition(), tries.attempts > 1 ? open.id + "-again" : open.id,'
      }
    ]
  },
  {
    name: 'webhook-half-answer-counts',
    about: 'An answer counts that was cut within its head.',
    edits: [
      {
        in: 'verdictOf',
        find: "if (result.kind !== 'status') return 'endpoint'",
        replaceWith: "if (result.kind !== 'status') return result.kind === 'cut' ? 'done' : 'endpoint'"
      }
    ]
  }
]
