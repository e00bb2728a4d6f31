import type { PlantedBug } from '../simulation/mutants/plant.js'

/** A bug that a test of its room notices, where the simulation would need many seeds. */
export interface RoomBug extends PlantedBug {
  /** The test file that notices it. */
  readonly test: string
}

const QUEUES = 'test/consumer/queue/queues.test.ts'
const READER = 'test/consumer/queue/queue-reader.test.ts'
const LOCKS = 'test/consumer/queue/share-locks.test.ts'
const TRANSACTIONS = 'test/producer/transactions/doubtful-calls.test.ts'
const SCHEMAS = 'test/schemas/schemas.test.ts'

const ofQueues: readonly RoomBug[] = [
  {
    name: 'token-of-another-group',
    about: 'The token of a message is taken for one of another group that reads the same topic.',
    edits: [
      {
        in: 'TokenMac.of',
        find: 'topic !== this.#topic || groupId !== this.#groupId',
        replaceWith: 'topic !== this.#topic'
      }
    ],
    test: 'test/consumer/queue/queue-token.test.ts'
  },
  {
    name: 'answer-of-another-word',
    about: 'A message that was released is told as accepted, since the first answer is given to any acknowledgement.',
    edits: [{ in: 'SettledTokens.find', find: 'first?.type === type', replaceWith: 'first !== undefined' }],
    test: 'test/consumer/queue/settled-tokens.test.ts'
  },
  {
    name: 'answer-forgotten-at-once',
    about: 'A client that repeats its acknowledgement after a lost answer is told that its token counts no more.',
    edits: [
      {
        in: 'SettledTokens.#forgetOld',
        find: 'ageMs < REMEMBERED_MS && this.#latest.size < MAX_LATEST',
        replaceWith: 'ageMs < 0'
      }
    ],
    test: 'test/consumer/queue/settled-tokens.test.ts'
  },
  {
    name: 'late-answer-counts',
    about:
      'Kafka says yes to an acknowledgement after the lock has ended, and the client is told that it has settled the message.',
    edits: [
      {
        in: 'SessionAcknowledgements.#done',
        find: 'const isInTime = this.#isLocked(entry)',
        replaceWith: 'const isInTime = true'
      }
    ],
    test: READER
  },
  {
    name: 'spare-released-at-its-end',
    about: 'A message that no client wants is kept from other gateways until its lock ends.',
    edits: [
      {
        in: 'MessageLocks.#toSpare',
        find: 'held.lock.endsAt - held.lockLengthMs / 2',
        replaceWith: 'held.lock.endsAt'
      }
    ],
    test: QUEUES
  },
  {
    name: 'word-on-its-way-given-up',
    about:
      'A message whose word is on its way when its session is lost is told as archived, though Kafka takes the word.',
    edits: [
      {
        in: 'MessageLocks.lost',
        find: "held.lock.session !== session || held.state === 'settling'",
        replaceWith: 'held.lock.session !== session'
      }
    ],
    test: QUEUES
  },
  {
    name: 'limit-of-one-queue-only',
    about: 'A client that waits in several queues may hold its limit in each of them.',
    edits: [
      {
        in: 'HeldCounts.#shareOf',
        find: 'free / (this.#clients.get(client)?.queues ?? 1)',
        replaceWith: 'free'
      }
    ],
    test: 'test/consumer/queue/waiting-acquires.test.ts'
  },
  {
    name: 'lock-of-the-next-acquisition-removed',
    about: 'The late answer about a former acquisition takes the lock of the present one away.',
    edits: [{ in: 'ShareLocks.remove', find: 'locks?.get(lock.offset) === lock', replaceWith: 'locks !== undefined' }],
    test: LOCKS
  },
  {
    name: 'refused-list-lost-as-a-whole',
    about: 'One bad offset in a list costs the words about all others.',
    edits: [
      {
        in: 'SessionAcknowledgements.#refused',
        find: 'refusedListCodes.has(errorCode) && entries.length > 1',
        replaceWith: 'entries.length < 1'
      }
    ],
    test: READER
  },
  {
    name: 'fenced-member-keeps-its-id',
    about: 'A member that was removed joins again under its former id.',
    edits: [
      {
        in: 'ShareMember.#failed',
        find: 'this.#memberId = randomUUID()\n this.#epoch = 0',
        replaceWith: 'this.#epoch = 0'
      }
    ],
    test: 'test/consumer/queue/share-member.test.ts'
  }
]

const ofTransactions: readonly RoomBug[] = [
  {
    name: 'lower-offset-committed',
    about: 'Of two offsets of a partition the last one is committed, though it is the lower one.',
    edits: [
      {
        in: 'OpenTransaction.commitOffsets',
        find: 'offset.offset >= (ofGroup.get(key)?.offset ?? 0)',
        replaceWith: 'offset.offset >= 0'
      }
    ],
    test: TRANSACTIONS
  },
  {
    name: 'aborted-end-told-as-unknown',
    about: 'A commit whose transaction the coordinator has aborted is told as unknown.',
    edits: [{ in: 'OpenTransaction.#end', find: ' && !isAborted', replaceWith: '' }],
    test: TRANSACTIONS
  },
  {
    name: 'repeated-call-forgotten',
    about: 'A call that was repeated may still arrive in the next transaction, which begins under the same epoch.',
    edits: [
      {
        in: 'TransactionalProducer.ready',
        find: 'this.#doubts !== this.#doubtsNow',
        replaceWith: 'this.#doubts < 0'
      },
      {
        in: 'TransactionalProducer.settle',
        find: 'isCertain && this.#doubts === this.#doubtsNow',
        replaceWith: 'isCertain'
      }
    ],
    test: TRANSACTIONS
  },
  {
    name: 'sequences-forgotten-under-one-epoch',
    about: 'A partition whose sequences were forgotten begins again at 0 under the same epoch.',
    edits: [
      {
        in: 'TransactionalProducer.#firstNumbering',
        find: 'this.#forgotten > this.#forgottenBefore',
        replaceWith: 'this.#forgotten < 0'
      }
    ],
    test: TRANSACTIONS
  },
  {
    name: 'end-under-way-counted-as-over',
    about: 'An end that the coordinator is carrying out counts as answered, so the next transaction keeps its epoch.',
    edits: [
      {
        in: 'TransactionalCalls.#askUntil',
        find: 'mayArrive(last) || mayBeDone(call.type, last)',
        replaceWith: 'mayArrive(last)'
      }
    ],
    test: 'test/producer/transactions/transactional-calls.test.ts'
  }
]

const ofSchemas: readonly RoomBug[] = [
  {
    name: 'registry-never-asked-again',
    about: 'After some failures the registry is not asked any more.',
    edits: [
      {
        in: 'Registry.#checkCircuit',
        find: 'isTrial && this.#clock() < this.#closedUntil',
        replaceWith: 'isTrial'
      }
    ],
    test: SCHEMAS
  },
  {
    name: 'known-answer-not-used',
    about: 'What a registry has answered before is not used while it is away.',
    edits: [{ in: 'RememberedAnswers.#ask', find: 'isNotAsked && old', replaceWith: 'old === error && old' }],
    test: SCHEMAS
  },
  {
    name: 'registry-asked-by-all-at-once',
    about: 'The registry gets a call for each question at once, and not sixteen at a time.',
    edits: [{ in: 'Places.tryTake', find: 'this.#taken.value < this.#max()', replaceWith: 'this.#max() > 0' }],
    test: SCHEMAS
  },
  {
    name: 'length-of-text-in-one-byte',
    about: 'A text of 64 characters and more gets a length that takes two bytes written in one.',
    edits: [
      {
        in: 'AvroWriter.shortText',
        find: 'length > MAX_SHORT_TEXT',
        replaceWith: 'length > 2 * MAX_SHORT_TEXT'
      }
    ],
    test: 'test/schemas/avro.test.ts'
  },
  {
    name: 'multiple-by-doubles',
    about: 'Whether a number is a multiple is decided in doubles, so 0.07 is none of 0.01.',
    edits: [
      {
        in: 'isMultipleOf',
        find: 'Number.isSafeInteger(value) && Number.isSafeInteger(divisor)',
        replaceWith: 'Number.isFinite(divisor)'
      }
    ],
    test: 'test/schemas/json-schema.test.ts'
  }
]

const ofWebhooks: readonly RoomBug[] = [
  {
    name: 'webhook-record-lent',
    about: 'A webhook is a group like those of clients, which lend each other messages.',
    edits: [
      {
        in: 'Webhooks.#clusterOf',
        find: 'new ConsumerGroups(of)',
        replaceWith:
          '(clusterOf(name) as unknown as { readonly groups?: ConsumerGroups }).groups ?? new ConsumerGroups(of)'
      },
      {
        in: 'refusalOfWebhookGroup',
        find: '!groupId.startsWith(WEBHOOK_GROUPS)',
        replaceWith: 'groupId.length > 0 || !groupId.startsWith(WEBHOOK_GROUPS)'
      }
    ],
    test: 'test/webhooks/webhooks.system.test.ts'
  }
]

export const roomBugs: readonly RoomBug[] = [...ofQueues, ...ofTransactions, ...ofSchemas, ...ofWebhooks]
