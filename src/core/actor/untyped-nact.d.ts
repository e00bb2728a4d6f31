/** The files of nact that actor.ts imports have no types. Its interface `Nact` describes the functions that are used. */
declare module 'nact/lib/*' {
  const functions: object
  export default functions
}
