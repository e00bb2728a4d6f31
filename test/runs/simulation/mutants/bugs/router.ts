import type { PlantedBug } from '../plant.js'

/** Bugs of `src/router` and `src/kafka`. */
export const routerBugs: readonly PlantedBug[] = [
  {
    name: 'any-answer-will-do',
    about: 'An answer is taken for that of the oldest request, whatever its correlation id.',
    edits: [
      {
        in: 'InFlightRequests.answer',
        find: `
          if (oldest?.request.correlationId !== correlationId) {
            const expected = oldest === undefined ? 'none' : oldest.request.correlationId`,
        replaceWith: `
          if (oldest === undefined) {
            const expected = 'none'`
      }
    ]
  },
  {
    name: 'cache-kept-over-recreation',
    about: 'What was cached of a topic outlives it.',
    edits: [
      {
        in: 'ReadCache.#compare',
        find: 'if (!isSameTopic || identity.leaderEpoch',
        replaceWith: 'if (isSameTopic && identity.leaderEpoch'
      },
      {
        in: 'KnownTopic.#isOfThisIncarnation',
        find: 'if (this.#topicId !== undefined) this.forgetFrom(0)',
        replaceWith: 'if (this.#topicId !== undefined) this.#partitions = NO_PARTITIONS'
      }
    ]
  },
  {
    name: 'cache-kept-over-unclean-election',
    about: 'What was cached of a log outlives the end of it.',
    edits: [
      {
        in: 'ReadCache.#compare',
        find: '!isSameTopic || identity.leaderEpoch !== log.identity.leaderEpoch',
        replaceWith: '!isSameTopic'
      },
      { in: 'ReadCache.#end', find: 'else this.cache.invalidateAbove(key, end)', replaceWith: '' }
    ]
  },
  {
    name: 'commit-answered-superseded',
    about: 'A commit that waits behind one on its way is answered as superseded, and never sent.',
    edits: [
      {
        in: 'CommitOrder.enter',
        find: 'return this.#follow(line, commit)',
        replaceWith: 'return supersede(commit, line.first)'
      }
    ]
  },
  {
    name: 'commit-retried-behind-later-one',
    about: 'A commit is sent again although a later one waits.',
    edits: [
      { in: 'CommitOrder.enter', find: 'return this.#follow(line, commit)', replaceWith: "return 'go'" },
      {
        in: 'CommitOrder.yields',
        find: '!isOpen(line.next)',
        replaceWith: '!isOpen(line.next) || line.first === commit'
      }
    ]
  },
  {
    name: 'commits-lose-metadata',
    about: 'The metadata of a commit is not stored.',
    edits: [
      {
        in: 'CommitConsumerOffsetProcessor.send',
        find: 'toStoredMetadata(offsetAndMetadata.metadata,',
        replaceWith: 'toStoredMetadata(rawMetadata === true ? offsetAndMetadata.metadata : undefined,'
      }
    ]
  },
  {
    name: 'connection-not-reset',
    about: 'A connection whose calls were given up is closed, not reset: they may still arrive.',
    edits: [
      {
        in: 'KafkajsConnection.#closeSocket',
        find: 'if (this.#requests.count > 0) resetSocket(socket, error) else socket.destroy(error)',
        replaceWith: 'socket.destroy(error)'
      }
    ]
  },
  {
    name: 'long-poll-inverted',
    about: 'Long polls and reads of what exists change places.',
    edits: [
      {
        in: 'FetchAdmission.#send',
        find: "call.slot === 'tail' ? this.#pollMs(call) : 0",
        replaceWith: "call.slot === 'tail' ? 0 : this.#pollMs(call)"
      }
    ]
  },
  {
    name: 'no-commit-is-sent',
    about: 'Every commit is told that a later one has taken its place, and none is sent.',
    edits: [
      {
        in: 'CommitOrder.enter',
        find: `
          if (!line) {
            this.#lines.set(key, this.#lead({ key, first: commit, next: undefined }, commit))
            return 'go'
          }`,
        replaceWith: 'if (!line) return supersede(commit, commit)'
      }
    ]
  },
  {
    name: 'unserved-partition-put-first',
    about: 'A partition that a full response did not serve takes its turn before those that wait.',
    edits: [
      {
        in: 'FetchLines.putBack',
        find: "if (slot === 'catchUp') this.#lines.catchUp.putBack(left) else for",
        replaceWith: 'for'
      }
    ]
  },
  {
    name: 'waiter-forgotten-on-leader-move',
    about: 'Readers of a partition are forgotten when its leader moves.',
    edits: [
      {
        in: 'FetchSettlement.#error',
        find: '[...waiters, ...lines.takePartition(key)]',
        replaceWith: 'lines.takePartition(key)'
      }
    ]
  }
]
