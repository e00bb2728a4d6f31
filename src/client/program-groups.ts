import type { AckResult, ConsumedMessages, MessageId } from '../consumer/group/consume-result.js'
import { ConsumerGroups } from '../consumer/group/consumer-groups.js'
import type { GroupVerbs } from '../verbs/verbs.js'

type Asked<Name extends 'requestMany' | 'setOffsets' | 'beginningOf'> = Parameters<ConsumerGroups[Name]>

/** The groups of a program as other processes use them: calls of other processes are not passed on to them again. */
export class OwnGroups {
  readonly #groups: ProgramGroups

  constructor(groups: ProgramGroups) {
    this.#groups = groups
  }

  requestMany(...asked: Asked<'requestMany'>) {
    return this.#groups.requestMany(...asked)
  }
  ack(groupId: string, message: MessageId) {
    return this.#groups.ackOwn(groupId, message)
  }
  setOffsets(...asked: Asked<'setOffsets'>) {
    return this.#groups.setOffsets(...asked)
  }
  beginningOf(...asked: Asked<'beginningOf'>) {
    return this.#groups.beginningOf(...asked)
  }
}

const inParts = (given: ConsumedMessages): ConsumedMessages => {
  const { messages, topicIds, offers } = given
  const ack = (): void => given.ack()
  const release = (): void => given.release()
  const parts = { messages, topicIds, offers, ack, release }
  return given.delivered === undefined ? parts : { ...parts, delivered: () => given.delivered?.() }
}

/** The consumer groups of a program, which may know other processes that read for the same groups. */
export class ProgramGroups extends ConsumerGroups {
  #ofAll: GroupVerbs | undefined
  readonly own = new OwnGroups(this)

  /** @param groups those of all processes: from now on, `ack` also acknowledges what another process has given out */
  join(groups: GroupVerbs): void {
    this.#ofAll = groups
  }

  /** Programs may take functions out of the answer. */
  override requestMany(...[group, topics, limits, timeoutMs, asker, ...start]: Asked<'requestMany'>) {
    const ofProgram: Asked<'requestMany'>[4] = {
      client: asker.client,
      reply: result => {
        const isGiven = result.type === 'messages'
        asker.reply(isGiven ? { ...result, messages: inParts(result.messages) } : result)
      }
    }
    return super.requestMany(group, topics, limits, timeoutMs, ofProgram, ...start)
  }

  override ack(groupId: string, message: MessageId): Promise<AckResult> {
    return this.#ofAll === undefined ? super.ack(groupId, message) : this.#ofAll.ack(groupId, message)
  }

  /** Acknowledges what this process has given out. */
  ackOwn(groupId: string, message: MessageId): Promise<AckResult> {
    return super.ack(groupId, message)
  }
}
