import { topicPartitionKey } from '../../core/model.js'
import { isForgotten, type StoredOffset, type StoredOffsets } from '../storage/storage.js'
import { type GroupBytes, OFFSET_BYTES } from './group-bytes.js'

export type CommittedOffset = Omit<StoredOffset, 'groupId'>

const sizeOf = (groupId: string, { topic, metadata }: CommittedOffset): number =>
  OFFSET_BYTES + groupId.length + topic.length + metadata.length

export class CommittedOffsets {
  readonly #groups = new Map<string, Map<string, CommittedOffset>>()
  readonly #storage: StoredOffsets
  readonly #bytes: GroupBytes

  constructor(storage: StoredOffsets, bytes: GroupBytes) {
    this.#storage = storage
    this.#bytes = bytes
    for (const stored of storage.all()) this.#put(stored)
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

  /** @throws Error when the storage fails; nothing has changed then */
  commit(offsets: readonly StoredOffset[]): void {
    if (offsets.length === 0) return
    this.#storage.save(offsets)
    for (const offset of offsets) this.#put(offset)
  }

  hasCapacityFor(offsets: readonly StoredOffset[]): boolean {
    let added = 0
    for (const stored of offsets) {
      const before = this.get(stored.groupId, stored.topic, stored.partition)
      added += sizeOf(stored.groupId, stored) - (before ? sizeOf(stored.groupId, before) : 0)
    }
    return added <= 0 || this.#bytes.hasCapacity(added)
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
    this.commit(offsets.map(offset => ({ ...offset, offset: -1, metadata: '' })))
  }

  #put({ groupId, ...offset }: StoredOffset): void {
    const key = topicPartitionKey(offset.topic, offset.partition)
    let group = this.#groups.get(groupId)
    if (!group) this.#groups.set(groupId, (group = new Map()))
    const before = group.get(key)
    if (before) this.#bytes.add(-sizeOf(groupId, before))
    if (!isForgotten(offset)) {
      group.set(key, offset)
      this.#bytes.add(sizeOf(groupId, offset))
    } else group.delete(key)
    if (group.size === 0) this.#groups.delete(groupId)
  }
}
