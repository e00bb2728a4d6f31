/** The files of nact that actor.ts imports have no types of their own. What it uses of them is its interface `Nact`. */
declare module 'nact/lib/*' {
  const functions: object
  export default functions
}
