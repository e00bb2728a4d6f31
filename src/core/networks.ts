import { BlockList, isIPv6 } from 'node:net'

const familyOf = (address: string): 'ipv4' | 'ipv6' => (isIPv6(address) ? 'ipv6' : 'ipv4')

/** Networks and single addresses, written as `10.0.0.0/8`, `fd00::/8` and `10.1.2.3`. */
export function networksIn(texts: readonly string[]): BlockList {
  const networks = new BlockList()
  for (const text of texts) {
    const [address = '', bits] = text.split('/')
    if (bits === undefined) networks.addAddress(address, familyOf(address))
    else networks.addSubnet(address, Number(bits), familyOf(address))
  }
  return networks
}

/** Whether an address belongs to a list of networks. `::ffff:10.0.0.1` counts as 10.0.0.1. */
export const isAmong = (networks: BlockList, address: string): boolean => networks.check(address, familyOf(address))
