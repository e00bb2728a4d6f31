/**
 * The member with the largest weight for a key (rendezvous hashing). All who see the same members with the same weights find the
 * same one, whatever their order, and when a member comes or goes, only keys that it has or had get another one.
 */
export function heaviest<Member>(
  members: Iterable<Member>,
  weightOf: (member: Member) => number | string
): Member | undefined {
  let best: Member | undefined
  let most: number | string | undefined
  for (const member of members) {
    const weight = weightOf(member)
    if (most === undefined || weight > most) [best, most] = [member, weight]
  }
  return best
}
