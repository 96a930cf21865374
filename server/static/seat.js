// The seat in a call, for a page that is loaded again. It is stored only between two pages: a copied tab must not get it.

const KEY = "calln.seat";
const KEPT = 15_000; // ms, as long as the server keeps it

// Whether it could be kept.
export function keepSeat(seat) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify({ ...seat, until: Date.now() + KEPT }));
    return true;
  } catch {
    return false; // storage is blocked
  }
}

// { resume, heard, call, muted }, or null.
export function takeSeat() {
  try {
    const seat = JSON.parse(sessionStorage.getItem(KEY));
    sessionStorage.removeItem(KEY);
    return seat && seat.until > Date.now() ? seat : null;
  } catch {
    return null;
  }
}
