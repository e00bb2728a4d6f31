import { ANONYMOUS } from './access.js'

const PRINTABLE = /^[^\p{C}]{1,256}$/u

/**
 * Whether a name from outside (a claim, a certificate) can be a principal. Control characters could forge log lines,
 * and `anonymous` is reserved for clients without credentials.
 */
export const isPrincipal = (name: unknown): name is string =>
  typeof name === 'string' && PRINTABLE.test(name) && name !== ANONYMOUS
