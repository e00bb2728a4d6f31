import type { BrokerAddress } from '../model.js'

/** `kafka-1:9092` => `{host: 'kafka-1', port: 9092}`; brackets around an IPv6 host go. The configuration has checked the form. */
export function toBrokerAddress(text: string): BrokerAddress {
  const colon = text.lastIndexOf(':')
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) }
}
