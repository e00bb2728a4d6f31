import { topicPartitionKey } from '../../model.js'
import type { Storage, StoredOffset } from '../storage/storage.js'

export type CommittedOffset = Omit<StoredOffset, 'groupId'>

/** Where each group has got to. */
export class CommittedOffsets {
  readonly #groups = new Map<string, Map<string, CommittedOffset>>()
  readonly #storage: Storage

  constructor(storage: Storage) {
    this.#storage = storage
    for (const stored of storage.offsets()) this.#put(stored)
  }

  get groupIds(): Iterable<string> {
    return this.#groups.keys()
  }

  has(groupId: string): boolean {
    return this.#groups.has(groupId)
  }

  get(groupId: string, topic: string, partition: number): CommittedOffset | undefined {
    return this.#groups.get(groupId)?.get(topicPartitionKey(topic, partition))
  }

  of(groupId: string): CommittedOffset[] {
    return [...(this.#groups.get(groupId)?.values() ?? [])]
  }

  /** @throws Error when the storage fails; then nothing has changed */
  commit(offsets: readonly StoredOffset[]): void {
    if (offsets.length === 0) return
    this.#storage.saveOffsets(offsets)
    for (const offset of offsets) this.#put(offset)
  }

  deleteGroup(groupId: string): void {
    this.#forget(this.of(groupId).map(offset => ({ ...offset, groupId })))
    this.#groups.delete(groupId)
  }

  delete(groupId: string, topic: string, partition: number): void {
    const found = this.get(groupId, topic, partition)
    if (found) this.#forget([{ ...found, groupId }])
  }

  deleteTopic(topic: string): void {
    for (const groupId of [...this.#groups.keys()]) {
      this.#forget(
        this.of(groupId)
          .filter(offset => offset.topic === topic)
          .map(offset => ({ ...offset, groupId }))
      )
    }
  }

  #forget(offsets: readonly StoredOffset[]): void {
    this.commit(offsets.map(offset => ({ ...offset, offset: -1 })))
  }

  #put({ groupId, ...offset }: StoredOffset): void {
    const key = topicPartitionKey(offset.topic, offset.partition)
    let group = this.#groups.get(groupId)
    if (!group) this.#groups.set(groupId, (group = new Map()))
    if (offset.offset >= 0) group.set(key, offset)
    else group.delete(key)
    if (group.size === 0) this.#groups.delete(groupId)
  }
}
