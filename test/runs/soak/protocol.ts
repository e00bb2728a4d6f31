/** What the soak asks of its brokers, and what they tell it. They live in a process of their own, so that its memory is not theirs. */
export type ToBroker = { readonly type: 'heal' } | { readonly type: 'end' }
export type FromBroker =
  | { readonly type: 'up'; readonly bootstrap: string }
  | { readonly type: 'healed'; readonly faultsFired: Readonly<Record<string, number>> }

export const soakTopics = ['soak-a', 'soak-b', 'soak-c', '__proto__']
export const soakPartitions = 6
