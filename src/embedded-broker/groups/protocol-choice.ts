import type { JoinRequest, OfferedProtocol } from './member.js'

interface Offers {
  readonly protocolType: string
  readonly protocols: readonly OfferedProtocol[]
}

const offeredByAll = (name: string, members: readonly Offers[]): boolean =>
  members.every(({ protocols }) => protocols.some(offered => offered.name === name))

/** True when the protocol type is that of the other members, and at least one protocol is common to all. */
export function canJoin({ protocolType, protocols }: JoinRequest, others: readonly Offers[]): boolean {
  if (protocolType === '' || protocols.length === 0) return false
  const hasTheirType = others.every(other => other.protocolType === protocolType)
  return hasTheirType && protocols.some(({ name }) => offeredByAll(name, others))
}

/** Each member votes for its first protocol that all support; most votes win. */
export function chooseProtocol(members: readonly Offers[]): string {
  const votes = new Map<string, number>()
  for (const { protocols } of members) {
    const choice = protocols.find(({ name }) => offeredByAll(name, members))
    if (choice) votes.set(choice.name, (votes.get(choice.name) ?? 0) + 1)
  }
  return [...votes].sort(([, one], [, other]) => other - one)[0]?.[0] ?? ''
}
