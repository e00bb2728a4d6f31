import type { AckResult, MessageId } from '../consumer/group/consume-result.js'
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

/** The consumer groups of a program, which may know other processes that read for the same groups. */
export class ProgramGroups extends ConsumerGroups {
  #ofAll: GroupVerbs | undefined
  readonly own = new OwnGroups(this)

  /** @param groups those of all processes: from now on, `ack` also acknowledges what another process has given out */
  join(groups: GroupVerbs): void {
    this.#ofAll = groups
  }

  override ack(groupId: string, message: MessageId): Promise<AckResult> {
    return this.#ofAll === undefined ? super.ack(groupId, message) : this.#ofAll.ack(groupId, message)
  }

  /** Acknowledges what this process has given out. */
  ackOwn(groupId: string, message: MessageId): Promise<AckResult> {
    return super.ack(groupId, message)
  }
}
