import { type FaultKind, nothing } from './fault.js'

/** The process of the gateway is asked to stop, as by SIGTERM, and starts anew when it has ended. */
const stopGateway: FaultKind = ({ processes }, random) => {
  const process = random.pick(processes)
  const restart = process.shutDown?.()
  return restart === undefined ? nothing(`${process.name} is not there`) : { what: process.name, stop: restart }
}

export const processFaults = { stopGateway }
