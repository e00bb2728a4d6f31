import type { PlantedBug } from '../plant.js'

/** Bugs of `src/producer`. */
export const producerBugs: readonly PlantedBug[] = [
  {
    name: 'batch-not-noted-before-sending',
    about: 'What is sent is not noted in the durable log before.',
    edits: [
      {
        in: 'DurableDelivery.#beforeSending',
        find: 'return this.#notes.note(batches)',
        replaceWith: 'void batches\n    return Promise.resolve()'
      }
    ]
  },
  {
    name: 'cluster-change-unnoticed',
    about: 'Partitions go on under their producer ids when another cluster answers.',
    edits: [{ in: 'PartitionProducer.clusterChanged', find: 'this.numbers.forget()', replaceWith: '' }]
  },
  {
    name: 'completed-before-acknowledged',
    about: 'Records of the durable log count as delivered when they are sent.',
    edits: [
      {
        in: 'BatchNotes.note',
        find: 'if (await this.#keep(notes)) return',
        replaceWith: `
          for (const producer of batches.keys()) {
            const topic = this.#options.topicOf(producer)
            for (const sequence of topic?.producers[producer.partition]?.sentIndexes ?? []) this.#options.opened().wal.complete(sequence)
          }
          if (await this.#keep(notes)) return`
      }
    ]
  },
  {
    name: 'damaged-body-believed',
    about: 'The body of an entry of the log is delivered although its checksum does not fit.',
    edits: [
      {
        in: 'decodeEntry',
        find: "if (saltedCrc(body, salt) !== bytes.readUInt32BE(offset + 32)) return { type: 'damagedBody', kind, sequence, durableSequence, sizeBytes }",
        replaceWith: ''
      }
    ]
  },
  {
    name: 'dead-letter-not-kept',
    about: 'A record that Kafka refuses for good is completed in the log and not kept among its dead letters.',
    edits: [
      {
        in: 'DeadLetters.add',
        find: 'const { refusal } = this.#opened.commit(entry)',
        replaceWith: 'const { refusal } = entry.length > 0 ? { refusal: undefined } : this.#opened.commit(entry)'
      }
    ]
  },
  {
    name: 'deadline-withdraws-sealed-record',
    about: 'A deadline takes a record back that is on its way to a broker.',
    edits: [
      {
        in: 'PartitionProducer.#endWaits',
        find: 'head.expire(nowMs, false, tooLate)',
        replaceWith: 'head.expire(nowMs, true, tooLate)'
      }
    ]
  },
  {
    name: 'expired-batch-leaves-its-sequence',
    about: 'The batch behind one that was given up has the same sequence numbers: brokers take it for a copy.',
    edits: [
      { in: 'PartitionSender.failHead', find: 'if (renumber) this.numbers.raise()', replaceWith: '' },
      { in: 'PartitionNumbering.changeRecords', find: 'if (this.#isSeen) this.raise()', replaceWith: '' }
    ]
  },
  {
    name: 'forgotten-producer-leaves-no-epoch',
    about: 'A partition begins with the epoch of one that was forgotten, and repeats its sequences.',
    edits: [{ in: 'ProducerIdentity.retired', find: 'epoch + 1', replaceWith: 'epoch' }]
  },
  {
    name: 'headers-lost-behind-withdrawn',
    about: 'Records behind one that is withdrawn lose their headers.',
    edits: [
      {
        in: 'Batch.#compact',
        find: 'append(key, value, headers, timestampMs)',
        replaceWith: 'append(key, value, headers && [], timestampMs)'
      }
    ]
  },
  {
    name: 'key-null-becomes-empty',
    about: 'A record without a key or value has an empty one in the halves of its batch.',
    edits: [
      {
        in: 'Batch.#part',
        find: "topic: '', key, value",
        replaceWith: "topic: '', key: key ?? Buffer.alloc(0), value: value ?? Buffer.alloc(0)"
      }
    ]
  },
  {
    name: 'log-acknowledges-before-sync',
    about: 'The durable log says that it has a group before it is synced.',
    edits: [
      {
        in: 'LogAppender.settle',
        find: 'this.#writer?.settle(syncPuts)',
        replaceWith: 'this.#writer?.settle(false)'
      }
    ]
  },
  {
    name: 'lost-connection-counts-as-not-written',
    about: 'A batch whose connection was lost counts as not written.',
    edits: [
      {
        in: 'judge',
        find: 'retryOrExpire(head, true, true, answer.error.message)',
        replaceWith: 'retryOrExpire(head, true, false, answer.error.message)'
      }
    ]
  },
  {
    name: 'not-leader-counts-as-not-written',
    about: 'A batch that a deposed leader refused counts as not written.',
    edits: [
      {
        in: 'certainlyRefused',
        find: "'NOT_ENOUGH_REPLICAS',",
        replaceWith: "'NOT_ENOUGH_REPLICAS', 'NOT_LEADER_OR_FOLLOWER',"
      }
    ]
  },
  {
    name: 'note-overtakes-completions',
    about: 'The note of a batch is kept before the completions that came earlier.',
    edits: [{ in: 'DurableLog.note', find: 'this.flushCompletions()', replaceWith: '' }]
  },
  {
    name: 'producer-stuck-after-reject',
    about: 'Records are given up when there are not enough replicas for the first attempt.',
    edits: [
      {
        in: 'judgeCode',
        find: 'if (certainlyRefused.has(code)) return',
        replaceWith: `
          if (certainlyRefused.has(code) && !head.maybeWritten && code === errorCodes.NOT_ENOUGH_REPLICAS)
            return fail(head, failures.rejected(code, 'no'))
          if (certainlyRefused.has(code)) return`
      }
    ]
  },
  {
    name: 'refusal-for-now-is-for-good',
    about: 'A batch of the durable log that a broker does not lead becomes dead letters.',
    edits: [
      {
        in: 'judgeCode',
        find: 'if (certainlyRefused.has(code)) return',
        replaceWith: `
          if (head.isDurable && code === errorCodes.NOT_LEADER_OR_FOLLOWER)
            return head.recordCount > 1
              ? { type: 'split', renumber: true, lowersLimit: false }
              : fail(head, failures.rejected(code, persistedOf(head.maybeWritten)))
          if (certainlyRefused.has(code)) return`
      }
    ]
  },
  {
    name: 'retry-goes-to-the-end',
    about: 'A batch that has to be tried again goes behind those that wait.',
    edits: [
      {
        in: 'PartitionSender.#carryOut',
        find: 'this.#backOff(verdict.reason, verdict.soon)',
        replaceWith: `
          if (!this.waiting.isEmpty) {
            const next = this.waiting.take()
            this.waiting.putBack([head])
            this.head = next
          }
          this.#backOff(verdict.reason, verdict.soon)`
      }
    ]
  },
  {
    name: 'retry-with-new-sequence',
    about: 'A batch that is tried again gets new sequence numbers, so brokers do not know it again.',
    edits: [
      {
        in: 'PartitionSender.#carryOut',
        find: 'this.#backOff(verdict.reason, verdict.soon)',
        replaceWith: `
          this.numbers.advance(head.recordCount)
          this.#backOff(verdict.reason, verdict.soon)`
      }
    ]
  },
  {
    name: 'second-batch-in-flight',
    about: 'A partition sends the next batch before the one before it is acknowledged.',
    edits: [
      {
        in: 'SendAttempt.answer',
        find: 'if (this.#attempts.awaits(this)) this.#of.attemptAnswered(answer)',
        replaceWith: 'this.#of.attemptAnswered(answer)'
      },
      {
        in: 'PartitionProducer.append',
        find: "if (this.current === 'idle') this.becomeReady()",
        replaceWith: `
          if (this.current === 'idle') this.becomeReady()
          else if (
            this.current === 'awaiting' && this.head !== undefined && this.numbers.current !== undefined
          ) {
            this.numbers.advance(this.head.recordCount)
            this.head = undefined
            this.becomeReady()
          }`
      },
      {
        in: 'PartitionSender.#appended',
        find: 'this.numbers.advance(head.recordCount)',
        replaceWith: 'if (this.head === head) this.numbers.advance(head.recordCount)'
      },
      {
        in: 'PartitionSender.#carryOut',
        find: 'this.#backOff(verdict.reason, verdict.soon)',
        replaceWith: `
          if (this.head !== head) this.waiting.putBack([head])
          this.#backOff(verdict.reason, verdict.soon)`
      }
    ]
  },
  {
    name: 'segment-reused-too-early',
    about: 'The bytes of a batch are given to the next one while they are still to be sent.',
    edits: [
      {
        in: 'PartitionSender.take',
        find: "this.current = 'awaiting'",
        replaceWith: `
          this.current = 'awaiting'
          head.release()`
      }
    ]
  },
  {
    name: 'stalled-cursor-passes-one',
    about: 'A cursor without capacity goes on behind the record for which it had none.',
    edits: [
      {
        in: 'PartitionCursors.stall',
        find: 'this.#behind.set(cursor, sequence)',
        replaceWith: 'this.#behind.set(cursor, sequence + 1)'
      }
    ]
  },
  {
    name: 'timer-left-behind',
    about: 'A partition forgets to stop its timer when it has something else to do.',
    edits: [{ in: 'PartitionSender.enter', find: 'clearTimeout(this.#timer)', replaceWith: '' }]
  },
  {
    name: 'receipt-of-next-entry',
    about: 'A receipt names the entry behind the first one of its request.',
    edits: [
      {
        in: 'DurableDelivery.giveReceipt',
        find: 'issue(principal, firstSequence,',
        replaceWith: 'issue(principal, firstSequence + 1,'
      }
    ]
  },
  {
    name: 'receipts-forget-restart',
    about: 'What became of records is forgotten when the durable log is opened again.',
    edits: [
      {
        in: 'OutcomeStore.#findFiles',
        find: 'this.#keep(number, file)',
        replaceWith: ''
      }
    ]
  },
  {
    name: 'receipts-tell-wrong-offset',
    about: 'A receipt tells the offset of the record before.',
    edits: [
      {
        in: 'OutcomeRows.add',
        find: 'partition, offset, timestampMs)',
        replaceWith: 'partition, Math.max(0, offset - 1), timestampMs)'
      }
    ]
  },
  {
    name: 'receipts-in-memory-tell-first',
    about: 'A receipt of records in memory tells of each of them what became of the first.',
    edits: [
      {
        in: 'MemoryReceipts.#stateOf',
        find: 'pendingProduce.latestOutcome(nth)',
        replaceWith: 'pendingProduce.latestOutcome(0)'
      }
    ]
  },
  {
    name: 'key-used-again',
    about: 'A request that comes again when its answer is known is carried out once more.',
    edits: [
      {
        in: 'LocalKeys.claim',
        find: 'return this.#answerTo(hash, fingerprint, sinceMs) ?? this.#begin({ hash, fingerprint, atMs })',
        replaceWith: 'return this.#begin({ hash, fingerprint, atMs })'
      },
      {
        in: 'LocalKeys.claim',
        find: "return records.state === 'answered' ? { type: 'answered', answer: records.answer! } : this.#claimed(records)",
        replaceWith:
          "if (records.state === 'answered') { this.#forget(records); return this.#begin({ hash, fingerprint, atMs }) } return this.#claimed(records)"
      }
    ]
  },
  {
    name: 'keys-forget-restart',
    about: 'The journal of keys is not read when the durable log is opened again.',
    edits: [
      {
        in: 'LocalKeys.opened',
        find: 'for (const frame of journal.read()) this.#restore(frame)',
        replaceWith: 'for (const _ of journal.read());'
      }
    ]
  },
  {
    name: 'key-free-after-unknown',
    about: 'A request whose answer says unknown gives its key back, though its records are under way.',
    edits: [
      {
        in: 'keyOutcomeOf',
        find: "answer : 'open'",
        replaceWith: "answer : 'free'"
      }
    ]
  },
  {
    name: 'timestamp-of-split-lost',
    about: 'The halves of a batch have another time than was asked for.',
    edits: [
      {
        in: 'Batch.#part',
        find: 'timestampMs, receiver!',
        replaceWith: '0, receiver!'
      }
    ]
  },
  {
    name: 'unknown-where-no',
    about: 'A record that was withdrawn before it was sent is told to be perhaps in Kafka.',
    edits: [{ in: 'Batch.expire', find: 'failureOf(persistedOf(!canWithdraw))', replaceWith: "failureOf('unknown')" }]
  },
  {
    name: 'waiting-bytes-not-copied',
    about: 'Records that wait until their topic is known are not copied.',
    edits: [
      {
        in: 'WaitingRecords.add',
        find: 'const record = ownCopyOf(deferred.record)',
        replaceWith: 'const { record } = deferred'
      }
    ]
  }
]
