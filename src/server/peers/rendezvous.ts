import { createHash } from 'node:crypto'

/**
 * The member with the largest weight for a key (rendezvous hashing). All who see the same members find the same one, whatever
 * their order, and when a member comes or goes, only keys that it has or had get another one.
 *
 * Gateways are members by the ids of their processes: each has one, which it says itself, however many addresses lead to it
 * and whichever of them another one calls.
 *
 *   heaviest(['a', 'b', 'c'], 'orders')   =>   'b'
 */
export function heaviest<Id extends string>(members: readonly Id[], key: string): Id | undefined {
  let best: Id | undefined
  let most = ''
  for (const member of members) {
    const weight = createHash('sha256').update(`${member} ${key}`).digest('hex')
    if (weight > most) [best, most] = [member, weight]
  }
  return best
}
